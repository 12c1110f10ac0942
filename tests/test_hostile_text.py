"""No text of a foreign file or a config hangs the program, runs code, or ends in anything but a sentence."""

import datetime
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from runoff_lstm.data.derived import FUNCTIONS, derive, evaluate_formula, formula_names
from runoff_lstm.data.filling import fill_from_earlier
from runoff_lstm.data.periods import Period
from runoff_lstm.data.readers.netcdf import read_netcdf
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.splits import Periods, temporal_folds
from runoff_lstm.data.times import span, times_of
from runoff_lstm.data.units import canonical_units, convert, is_amount
from runoff_lstm.errors import InputError
from runoff_lstm.experiment import _override

DAY = np.timedelta64(1, "D")

UNITS = [
    *("m**9**9**9", "9**9**9 mm", "mm/0", "m**(9**9)", "m^(2)^9^9", "9**99**99", "m**-9**-9**9", "((9**99)**99)**99", "0**-1 m"),
    *("1/(m-m)", "m/(1-1)", "m**1e9", "m**1e999", "1e308*1e308 m", "nan m", "inf", "m**nan", "Ym99", "(Ym99)^9", "e**99", "m%0"),
    *(
        "(" * 3000,
        "m" * 3000,
        "9" * 60,
        "-" * 58 + "m",
        "m" + "²" * 50,
        "m⁹⁹⁹",
        "½ m",
        "٣ m",
        "m٩٩٩",
        "m*" * 29 + "m",
        "m 99 99 99",
    ),
    *("m\0", "m\n", "\x1b[2J", "\ud800", "\u2028m", "__import__('os')", "lambda: 0", "m if 1 else s", "m**m", "m**s**m", "kkkkkm"),
    *(
        "()",
        ".",
        "m..m",
        "1.e.5",
        "[m]",
        "m{}",
        "not m",
        "m or s",
        "degC**99",
        "degC/degC",
        "Pa**99*Pa**99",
        "degC km-1",
        "m**9.9.9",
    ),
]
FORMULAS = [
    *("9**9**9", "x**9**9**9", "(" * 240 + "x" + ")" * 240, "-" * 490 + "x", "x" + "+x" * 240, "9" * 499, "1e999*x", "0x", "1__0"),
    *("__import__('os').system('x')", "x.__class__", "[x for x in x]", "lambda: x", "x if x else x", "x[0]", "f'{x}'", "'a'*9"),
    *(
        "1j*x",
        "x\0",
        "x\n+1",
        "\ud800",
        "x:=1",
        "await x",
        "*x",
        "max()",
        "sqrt(x,x)",
        "exp(exp(exp(exp(x))))",
        "x<<99",
        "~x",
        "'\\d'",
    ),
    *(
        "1is x",
        "x is 1",
        "x/0",
        "0/0*x",
        "log(-x)",
        "x**x**x**x",
        "...",
        "None",
        "True+x",
        "{x}",
        "x,",
        "()",
        "",
        "   ",
        "#",
        "x;x",
    ),
]
SPANS = [
    *(
        "9999 years",
        "0d",
        "1e9D",
        "9999999999D",
        "-1D",
        "1 day 1 hour",
        "²D",
        "٣D",
        "D" * 10**6,
        "9999W",
        "9999 min",
        "nan",
        "",
        "\0",
    ),
    *(None, 5, [1], {}, datetime.timedelta(days=10**8), datetime.timedelta(0), np.timedelta64("NaT"), np.timedelta64(10**15, "D")),
    *(np.timedelta64(1, "Y"), pd.DateOffset(years=10**9), pd.DateOffset(months=10**9), "1 month", "1D", "6h", "999 years", "1\nD"),
]
DATES = [
    *(
        "1000000000-01-01",
        "9999-12-31",
        "0000-01-01",
        "-001-01-01",
        "2000-13-01",
        "2000-02-30",
        "2000-01-01 99:99",
        "2000-01-01 24:00",
    ),
    *(
        "2000-01-01T00:00:00+99:99",
        "2000-01-01 " + "x" * 10**5,
        "2000-01-01\0",
        "²000-01-01",
        "٢٠٠٠-01-01",
        "2000-01-01 UTC",
        "NaT",
        "",
    ),
    *(
        "2000-01-01 00:00:00." + "9" * 1000,
        "2262-04-12",
        "1677-09-21",
        "2000-01-01/../x",
        None,
        5,
        10**18,
        float("nan"),
        b"2000-01-01",
    ),
    *(datetime.date.max, datetime.date.min, datetime.datetime.max, np.datetime64("NaT"), np.datetime64("1000000000-01-01"), pd.NaT),
    *(np.datetime64(2**62, "us"), np.datetime64("-5000-01-01"), pd.Timestamp.max, pd.Timestamp.min),
]
OVERRIDES = [
    *(
        "a=" + "[" * 3000,
        "a=" + "9" * 5000,
        "a=1\nname='x'",
        "a" + ".b" * 3000 + "=1",
        "a='\0'",
        "=",
        "",
        "a=" + "{x=" * 3000,
        "a=\ud800",
    ),
    *("a=2000-13-45", "a=1e99999", "a=nan", "a.b=1=2", "a=" + "'" * 9999, "..=1", "a=0x" + "f" * 9999, "a=9999999999-01-01"),
]


def settles(function, *arguments):
    """The call ends within a second of this process, with a result or with one sentence."""
    began = time.process_time()
    with suppress(InputError):
        function(*arguments)
    assert time.process_time() - began < 1


@pytest.fixture(autouse=True, scope="module")
def _loaded():
    canonical_units("mm", DAY)


def of_units(text, dataset):
    settles(canonical_units, text, DAY)
    settles(convert, [1.0], text, "mm d-1")
    settles(convert, [1.0], text, text)
    settles(is_amount, text)
    settles(lambda: resample(dataset.assign(rain=dataset["rain"].assign_attrs(units=text)), "2D"))
    settles(lambda: derive(dataset, "new", "rain * 2", units=text))


@pytest.mark.parametrize("text", UNITS, ids=ascii)
def test_any_unit_is_one_or_is_refused(text, basin):
    of_units(text, basin)


@given(st.text(st.sampled_from("m9*^/()-+. eskgPa0²°%"), max_size=70))
def test_whatever_looks_like_a_unit_is_one_or_is_refused(text):
    settles(canonical_units, text, DAY)


@pytest.mark.parametrize("units", ["m**(-1)", "s^(-1)", "m^0.5", "kg m^-2 s^-1", "m3 s-1 km-2", "(m/s)^2", "L/s/km2"])
def test_powers_in_any_common_spelling_are_taken(units):
    assert convert([2.0], units, units).tolist() == [2.0]


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_any_formula_has_a_value_or_is_refused(text, basin):
    settles(formula_names, text)
    settles(evaluate_formula, text, {"x": np.ones(5)})
    settles(lambda: derive(basin, "new", text.replace("x", "rain"), units="mm d-1"))


@given(st.lists(st.sampled_from(["x", "9", "**", "*", "/", "(", ")", "-", ",", "1e9", ".", *FUNCTIONS]), max_size=40))
def test_whatever_looks_like_a_formula_has_a_value_or_is_refused(parts):
    settles(formula_names, "".join(parts))


@pytest.mark.parametrize("length", SPANS, ids=lambda one: ascii(one)[:40])
def test_any_length_of_time_is_one_or_is_refused(length, basin):
    settles(span, length)
    settles(resample, basin, length)
    settles(lambda: fill_from_earlier(basin, "rain", period=length, limit=3, tries=2))
    settles(lambda: fill_from_earlier(basin, "rain", period=length, limit=10**18, tries=10**9))


@pytest.mark.parametrize("date", DATES, ids=lambda one: ascii(one)[:40])
def test_any_date_is_one_or_is_refused(date, basin):
    times = times_of(basin)
    settles(lambda: Period(date, date).steps(times))
    settles(lambda: str(Period("2000-01-01", date)) + str(Period("2000-01-01", date).steps(times)))
    settles(lambda: Period(date, "2001-01-01").overlaps(Period("2001-02-01", date)))
    settles(lambda: temporal_folds(Period("2000-01-01", date), 3))
    settles(lambda: Periods(train=Period("2000-01-01", "2000-02-01"), test=Period("2000-03-01", date)).check(times))


@pytest.mark.parametrize("text", OVERRIDES, ids=lambda one: ascii(one)[:40])
def test_any_override_is_one_or_is_refused(text):
    settles(_override, {}, text)


def test_a_file_with_hostile_units_and_names_is_refused_by_one_sentence(tmp_path, basin):
    for units in ("m**9**9**9", "mm/0", "(" * 3000):
        basin.assign(rain=basin["rain"].assign_attrs(units=units)).to_netcdf(tmp_path / "data.nc")
        with pytest.raises(InputError, match=r"the unit .* is not known"):
            read_netcdf(tmp_path / "data.nc", variables=["rain"])


@pytest.mark.parametrize("since", ["1000000000-01-01", "0000-01-01", "-9-01-01", "x" * 3000, "2000-01-01 99:99", "9**9**9", ""])
@pytest.mark.parametrize("step", ["days", "months", "9**9**9", "fortnights"])
def test_hostile_units_of_time_end_in_one_sentence(tmp_path, basin, since, step):
    times = xr.DataArray(np.arange(basin.sizes["time"]) * 10**9, dims="time", attrs={"units": f"{step} since {since}"})
    basin.drop_vars("time").assign_coords(time=times).to_netcdf(tmp_path / "data.nc")
    settles(read_netcdf, tmp_path / "data.nc")
