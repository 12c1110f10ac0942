import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runoff_lstm.data.units import canonical_units, convert, discharge_to_depth
from runoff_lstm.errors import InputError

DAY, HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")


def depth(value, units, *, area=None, step=DAY):
    return float(discharge_to_depth([[value]], units, area_km2=None if area is None else [area], step=step)[0, 0])


def test_one_cubic_metre_a_second_over_86_4_square_kilometres_is_a_millimetre_a_day():
    for spelling in ("m3 s-1", "m3/s", "m^3/s", "m**3/s", "cms", "cumecs"):
        assert depth(1.0, spelling, area=86.4) == pytest.approx(1.0, rel=1e-12)


def test_cubic_feet_and_litres_a_second_by_hand():
    for spelling in ("ft3 s-1", "ft3/s", "cfs"):
        assert depth(100.0, spelling, area=250.0) == pytest.approx(100 * 0.028316846592 * 86.4 / 250, rel=1e-12)
    assert depth(1000.0, "L/s", area=86.4) == pytest.approx(1.0, rel=1e-12)


def test_hourly_discharge_becomes_millimetres_an_hour():
    assert depth(1.0, "m3/s", area=3.6, step=HOUR) == pytest.approx(1.0)
    assert depth(24.0, "mm d-1", step=HOUR) == pytest.approx(1.0)


def test_millimetres_are_an_amount_a_step():
    assert depth(2.5, "mm") == 2.5
    assert depth(2.5, "mm", step=HOUR) == 2.5
    assert depth(3.0, "mm", step=3 * HOUR) == pytest.approx(1.0)
    assert depth(14.0, "mm", step=7 * DAY) == pytest.approx(2.0)


def test_each_basin_has_its_own_area_and_missing_stays_missing():
    depths = discharge_to_depth([[1.0, np.nan], [1.0, 2.0]], "m3/s", area_km2=[86.4, 864.0], step=DAY)
    np.testing.assert_allclose(depths, [[1.0, np.nan], [0.1, 0.2]])


@pytest.mark.parametrize(
    ("value", "units", "target", "expected"),
    [
        (0.0, "degC", "K", 273.15),
        (300.0, "K", "degC", 26.85),
        (212.0, "degF", "degC", 100.0),
        (20.0, "C", "degC", 20.0),
        (20.0, "°C", "K", 293.15),
        (1.0, "kg m-2 s-1", "mm d-1", 86400.0),
        (2.0, "kg m-2", "mm", 2.0),
        (1.0, "in/day", "mm d-1", 25.4),
        (1013.25, "hPa", "Pa", 101325.0),
        (1.0, "mbar", "Pa", 100.0),
        (86400.0, "J m-2 d-1", "W m-2", 1.0),
        (3.6, "km h-1", "m s-1", 1.0),
        (50.0, "%", "1", 0.5),
    ],
)
def test_conversions_by_hand(value, units, target, expected):
    assert float(convert([value], units, target)[0]) == pytest.approx(expected, rel=1e-9)


@given(st.floats(-1e4, 1e4), st.sampled_from([("degC", "degF"), ("mm d-1", "in/day"), ("Pa", "hPa"), ("m3/s", "cfs")]))
def test_there_and_back_is_where_it_was(value, units):
    there = convert([value], units[0], units[1])
    assert float(convert(there, units[1], units[0])[0]) == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("units", "daily", "hourly"),
    [
        ("mm/day", "mm d-1", "mm h-1"),
        ("mm per day", "mm d-1", "mm h-1"),
        ("cm d-1", "mm d-1", "mm h-1"),
        ("kg m-2 s-1", "mm d-1", "mm h-1"),
        ("mm", "mm", "mm"),
        ("m", "mm", "mm"),
        ("K", "degC", "degC"),
        ("W/m2", "W m-2", "W m-2"),
        ("kPa", "Pa", "Pa"),
        ("m/s", "m s-1", "m s-1"),
        ("km h-1", "m s-1", "m s-1"),
        ("1", "1", "1"),
        ("%", "%", "%"),
    ],
)
def test_every_kind_has_its_canonical_unit(units, daily, hourly):
    assert canonical_units(units, DAY) == daily
    assert canonical_units(units, HOUR) == hourly


@pytest.mark.parametrize("units", ["buckets", "12 mm", "m3 s^", "mm/", "degrees?"])
def test_an_unknown_unit_is_named(units):
    with pytest.raises(InputError, match="is not known"):
        canonical_units(units, DAY)


def test_what_does_not_measure_the_same_is_refused():
    with pytest.raises(InputError, match=r"'degC' cannot be converted to 'mm d-1'"):
        convert([1.0], "degC", "mm d-1")


def test_a_volume_without_area_is_refused():
    with pytest.raises(InputError, match="needs the area of the basin"):
        depth(1.0, "m3/s")


def test_a_discharge_that_is_no_discharge_is_refused():
    with pytest.raises(InputError, match="neither a volume nor a depth"):
        depth(1.0, "degC")


@pytest.mark.parametrize("units", ["Celsius", "celsius", "degrees_Celsius", "K", "Kelvin", "kelvin", "degF"])
def test_temperatures_in_any_spelling_are_kept_in_degrees_celsius(units):
    assert canonical_units(units, DAY) == "degC"


@pytest.mark.parametrize("units", ["(", "mm d-1 (daily", "m3/s]"])
def test_a_unit_that_does_not_parse_is_no_crash(units):
    with pytest.raises(InputError, match="is not known; write it as"):
        canonical_units(units, DAY)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.floats(0.01, 1e6), st.sampled_from([HOUR, 3 * HOUR, DAY, 7 * DAY]))
def test_a_depth_times_its_area_is_the_volume_again(values, area, step):
    depths = discharge_to_depth([values], "m3 s-1", area_km2=[area], step=step)[0]
    seconds = 86_400 if step >= DAY else 3_600
    np.testing.assert_allclose(depths / 1000 * area * 1e6 / seconds, values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("spelling", "base", "expected"),
    [
        ("ly/day", "J m-2 d-1", 7 * 41_840.0),
        ("Mm3/d", "m3 d-1", 7e6),
        ("MCM/d", "m3 d-1", 7e6),
        ("hm3 d-1", "m3 d-1", 7e6),
        ("m³ s⁻¹", "m3 s-1", 7.0),
        ("m³·s⁻¹", "m3 s-1", 7.0),
        ("W m^{-2}", "W m-2", 7.0),
        ("℃", "K", 280.15),
        ("F", "degC", (7 - 32) / 1.8),
        ("k", "degC", -266.15),
        ("mb", "Pa", 700.0),
        ("cusecs", "m3 s-1", 7 * 0.3048**3),
    ],
)
def test_what_hydrologists_write_is_what_they_mean(spelling, base, expected):
    np.testing.assert_allclose(convert([7.0], spelling, base), expected, rtol=1e-6)


@pytest.mark.parametrize("units", ["m s-1", "km d-1", "km h-1", "mph", "knot", "m min-1", "ft s-1"])
def test_speeds_are_no_depths(units):
    assert canonical_units(units, DAY) == "m s-1"


@pytest.mark.parametrize("units", ["m d-1", "m h-1", "mm s-1", "cm d-1", "inch d-1"])
def test_depths_are_no_speeds(units):
    assert canonical_units(units, DAY) == "mm d-1"


@pytest.mark.parametrize("units", ["mm/month", "mm yr-1", "mm a-1", "mm year-1"])
def test_months_and_years_have_no_one_length(units):
    with pytest.raises(InputError, match="counts in months or years"):
        canonical_units(units, DAY)


@pytest.mark.parametrize("area", [0.0, -1.0, np.nan])
def test_a_volume_over_no_area_is_refused(area):
    with pytest.raises(InputError, match="give an area above zero"):
        discharge_to_depth([[1.0]], "m3 s-1", area_km2=[area], step=DAY)
