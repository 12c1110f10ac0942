import json
import logging

import numpy as np
import pandas as pd
import pytest

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.readers import READERS, CsvForm, read_csv, read_netcdf, write_dataset
from runoff_lstm.errors import InputError

UNITS = {"rain": "mm d-1", "discharge": "mm d-1"}


def rows(days=10, start="2000-01-01", name="date"):
    dates = pd.date_range(start, periods=days)
    lines = [f"{date:%Y-%m-%d},{number}.5,{number}" for number, date in enumerate(dates)]
    return "\n".join([f"{name},rain,discharge", *lines]) + "\n"


@pytest.fixture
def write(tmp_path):
    def written(text, name="01013500.csv", **how):
        (tmp_path / name).write_text(text, **how)
        return tmp_path / name

    return written


def test_a_files_name_is_the_gauge_id_with_its_zeros(write):
    read = read_csv(write(rows()), units=UNITS)
    assert read["basin"].values.tolist() == ["01013500"]
    np.testing.assert_allclose(read["rain"].values[0], np.arange(10) + 0.5)
    assert read["discharge"].attrs == {"units": "mm d-1", "set_missing": 0}


def test_a_folder_has_a_file_a_gauge_and_records_of_different_length_are_filled_with_nan(write, tmp_path):
    write(rows(10), "01013500.csv")
    write(rows(5, "2000-01-04"), "02064000.csv")
    write("gauge_id,aridity\n01013500,1\n02064000,2\n", "attributes.csv")
    read = read_csv(tmp_path, units=UNITS, attributes=tmp_path / "attributes.csv")
    assert read["basin"].values.tolist() == ["01013500", "02064000"]
    assert read["rain"].isnull().sum("time").values.tolist() == [0, 5]
    assert float(read["rain"].sel(basin="02064000", time="2000-01-04")) == 0.5
    assert read["aridity"].values.tolist() == [1, 2]
    assert read_csv(tmp_path, ["02064000"], units=UNITS).sizes["time"] == 5


def test_one_file_may_hold_all_gauges(write):
    text = "basin,date,rain,discharge\n" + "".join(
        f"{gauge_id},2000-01-{day:02d},{day},{day}\n" for gauge_id in ("007", "008") for day in range(1, 5)
    )
    read = read_csv(write(text, "all.csv"), units=UNITS)
    assert read["basin"].values.tolist() == ["007", "008"]
    assert read["rain"].values.tolist() == [[1, 2, 3, 4]] * 2


@pytest.mark.parametrize("form", [{"separator": ";"}, {}])
def test_semicolons_and_decimal_commas_are_read(write, form):
    text = rows().replace(",", ";").replace(".", ",")
    read = read_csv(write(text), units=UNITS, csv={**form, "decimal": ","})
    np.testing.assert_allclose(read["rain"].values[0], np.arange(10) + 0.5)


def test_other_dates_encodings_and_names_are_read_when_told(write):
    text = "# made by hand\nJour;Pluie;Débit\n31/12/1999;1.5;2\n01/01/2000;2.5;3\n"
    read = read_csv(
        write(text, encoding="latin-1"),
        csv=CsvForm(encoding="latin-1", date_format="%d/%m/%Y"),
        rename={"time": "Jour", "rain": "Pluie", "discharge": "Débit"},
        units=UNITS,
    )
    assert pd.DatetimeIndex(read["time"].values).strftime("%Y-%m-%d").tolist() == ["1999-12-31", "2000-01-01"]
    assert read["discharge"].values.tolist() == [[2, 3]]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write):
    assert "rain" in read_csv(write(rows(), encoding="utf-8-sig"), units=UNITS)


def test_missing_markers_are_nan_and_counted(write, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    text = rows().replace("1.5", "?").replace("2.5", "-999").replace("3.5", "").replace("4.5", "NaN").replace("5.5", "-888")
    read = read_csv(write(text), units=UNITS, missing=["?", -888])
    assert read["rain"].isnull().values[0].tolist() == [False] + [True] * 5 + [False] * 4
    assert read["rain"].attrs["set_missing"] == 1 + 2
    assert "basin 01013500: rain: 3 value(s) marked as missing, the first -999.0 on 2000-01-02" in caplog.text


@pytest.mark.parametrize("missing", ["-888", -888])
def test_a_bare_marker_is_refused_and_not_taken_letter_by_letter(write, missing):
    with pytest.raises(InputError, match=r"missing = .* give a list, such as missing = \[-888\]"):
        read_csv(write(rows()), units=UNITS, missing=missing)


def test_gauge_ids_may_come_as_an_array(write, tmp_path):
    write(rows(), "01013500.csv")
    write(rows(), "02064000.csv")
    read = read_csv(tmp_path, np.array(["02064000", "01013500"]), units=UNITS)
    assert read["basin"].values.tolist() == ["02064000", "01013500"]
    write_dataset(read, tmp_path / "all.nc")
    assert read_netcdf(tmp_path / "all.nc", pd.Index(["01013500"]))["basin"].values.tolist() == ["01013500"]


def test_hours_are_read(write):
    text = "time,rain,discharge\n" + "".join(f"2000-01-01T{hour:02d}:00,{hour},{hour}\n" for hour in range(24))
    read = read_csv(write(text), units={"rain": "mm", "discharge": "mm"})
    assert read["discharge"].attrs["units"] == "mm h-1"
    assert read["rain"].attrs["units"] == "mm"


def test_only_the_variables_asked_for_are_parsed(write):
    text = rows().replace("rain,discharge", "rain,discharge,remark").replace("\n2000", ",fine\n2000")
    text = text.replace("remark,fine", "remark").rstrip("\n") + ",fine\n"
    assert "remark" not in read_csv(write(text), units=UNITS, variables=["rain", "discharge"])
    with pytest.raises(InputError, match="column 'remark': 'fine' is not a number"):
        read_csv(write(text), units=UNITS)


def test_mending_is_done_file_by_file(write, tmp_path):
    lines = rows().splitlines()
    write("\n".join([lines[0], *lines[3:], lines[1], lines[1]]) + "\n", "a.csv")
    write(rows(), "b.csv")
    with pytest.raises(InputError, match="basin a: the time axis"):
        read_csv(tmp_path, units=UNITS)
    mended = read_csv(tmp_path, units=UNITS, mend_time=True)
    assert mended["rain"].isnull().values[0].tolist() == [False, True] + [False] * 8


def test_the_dataset_tells_how_to_read_it_again(write, tmp_path):
    write(rows().replace(",", ";"), "a.csv")
    first = read_csv(tmp_path, ["a"], units=UNITS, csv={"separator": ";"}, missing=["?"])
    called = json.loads(first.attrs[SOURCE])
    assert READERS[called.pop("source")](called.pop("path"), **called).identical(first)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "01013500.csv is empty"),
        ("\n\n", {}, "01013500.csv is empty"),
        ("date,rain,discharge\n", {}, "has a header and no rows"),
        (rows(name="when"), {}, "no column of dates"),
        (rows().replace("2000-01-03", "13/01/2000"), {}, "'13/01/2000' is not a date of the form ISO 8601"),
        (rows().replace("2000-01-03", "2000-01-03T00:00+01:00"), {}, "carries a time zone"),
        (rows().replace("2.5", "?"), {}, r"01013500.csv, line 4, column 'rain': '\?' is not a number; .* missing = \[\"\?\"\]"),
        ("# note\n\n" + rows().replace("2.5", "oops"), {}, "line 6, column 'rain': 'oops' is not a number"),
        (rows().replace(",", ";").replace(".", ","), {}, r"decimal comma, say csv = \{decimal = \",\"\}"),
        (rows().replace("2000-01-03", "2000-01-02"), {}, "2000-01-02 twice"),
        (rows().replace("2000-01-03", "2000-02-03"), {}, "goes back|not regular"),
        (rows().replace("2000-01-03,2.5,2\n", ""), {}, "not regular: after 2000-01-02"),
        (rows().replace("rain,discharge", "rain,rain"), {}, "has the column 'rain' twice"),
        (rows(), {"rename": {"prcp": "rian"}}, "no column 'rian' to call 'prcp'; did you mean 'rain'"),
        (rows(), {"rename": {"rain": "discharge"}}, "has both 'discharge' and 'rain'"),
        (rows(), {"variables": ["rian"]}, "no column 'rian'; did you mean 'rain'"),
        (rows(), {"units": {"rain": "mm d-1"}}, "discharge has no unit"),
        (rows().replace("2000-01-03,2.5,2", "2000-01-03,2.5,2,7"), {}, "line 4: the row has 4 cells"),
        (rows(), {"csv": {"encoding": "klingon"}}, "encoding 'klingon' is not known"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused(write, text, options, message):
    with pytest.raises(InputError, match=message):
        read_csv(write(text), **{"units": UNITS, **options})


def test_another_encoding_is_refused_with_the_byte(write):
    with pytest.raises(InputError, match=r"not utf-8 text \(byte \d+ is 0xe9\); say its encoding"):
        read_csv(write(rows().replace("discharge", "débit"), encoding="latin-1"), units=UNITS)


def test_missing_files_and_gauges_are_refused_with_the_nearest(write, tmp_path):
    write(rows())
    with pytest.raises(InputError, match=r"01013501.csv is not there; did you mean '01013500.csv'"):
        read_csv(tmp_path / "01013501.csv")
    with pytest.raises(InputError, match=r"gauge id '01013501' has no file in .*; did you mean '01013500'"):
        read_csv(tmp_path, ["01013501"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no CSV file"):
        read_csv(tmp_path / "empty")


def test_files_that_do_not_fit_together_are_refused(write, tmp_path):
    write(rows(), "a.csv")
    write(rows().replace("rain", "snow"), "b.csv")
    with pytest.raises(InputError, match=r"basin a: its file has no column 'snow'|basin b: its file has no column 'rain'"):
        read_csv(tmp_path, units={**UNITS, "snow": "mm"})
    hourly = "date,rain,discharge\n" + "".join(f"2000-01-01T{hour:02d}:00,{hour},{hour}\n" for hour in range(24))
    write(hourly, "b.csv")
    with pytest.raises(InputError, match="basin b has a step of 1 hour, basin a one of 1 day"):
        read_csv(tmp_path, units=UNITS)


@pytest.mark.large_data
def test_french_litres_a_second_over_the_area_are_the_given_millimetres(large_data):
    folder = large_data / "camels_fr"
    table = pd.read_csv(folder / "attributes.csv", dtype={0: str})
    area_column = next(name for name in table.columns if "area" in name.lower())
    areas = dict(zip(table.iloc[:, 0], table[area_column].astype(float), strict=True))
    gauge_ids = [gauge_id for gauge_id in areas if (folder / f"{gauge_id}.csv").exists()]
    units = {"precipitation_mm": "mm", "temperature_c": "degC", "pet_mm": "mm", "discharge": "L/s", "discharge_mm": "mm"}
    read = read_csv(folder, gauge_ids, rename={"discharge": "discharge_ls"}, units=units, area_km2=areas)
    assert read.sizes["basin"] == len(gauge_ids) > 10
    difference = np.abs(read["discharge"] - read["discharge_mm"]).values
    assert np.nanmax(difference - 0.001 * read["discharge_mm"].values) < 0.01


def test_names_are_exchanged_where_both_are_renamed(write):
    read = read_csv(write(rows()), units=UNITS, rename={"rain": "discharge", "discharge": "rain"})
    np.testing.assert_allclose(read["discharge"].values[0], np.arange(10) + 0.5)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "date,rain,discharge\n2000-01-01,1,5,2\n2000-01-02,1,5,2\n",
            {},
            "line 2: the row has 4 cells separated by ',', the header 3",
        ),
        (rows(), {"csv": {"separator": ";;"}}, "separator = ';;' must be one character"),
        (rows(), {"csv": {"separator": "|"}}, "no column of dates"),
        (rows(), {"csv": {"seperator": ";"}}, "csv has no setting 'seperator'; did you mean 'separator'"),
        (rows(), {"csv": {"date_format": "%Q"}}, "date_format '%Q' is no strptime format"),
        (rows(), {"csv": {"date_format": "%Y-%m-%d %z"}}, "has a time zone"),
        (rows().replace("2000-01-03", ""), {}, r"01013500.csv has 1 row\(s\) without a date"),
        (rows().replace("rain,discharge", "rain, rain"), {}, "has the column 'rain' twice"),
        ("date,rain,discharge\n2000-01-01,1,1\n", {"mend_time": True}, r"has 1 time step\(s\)"),
        (rows(), {"gauge_ids": []}, "gauge_ids is an empty list"),
        (rows(), {"gauge_ids": ["01013501"]}, "gauge id '01013501' is not in the data; did you mean '01013500'"),
        (rows().replace("2.5", "inf"), {}, "basin 01013500, 2000-01-03: rain is infinite"),
        (rows().replace("2.5", "-2.5"), {}, r"rain is negative on 1 step\(s\) \(first 2000-01-03: -2.5 mm d-1\)"),
    ],
)
def test_what_would_be_misread_in_silence_is_refused(write, text, options, message):
    with pytest.raises(InputError, match=message):
        read_csv(write(text), **{"units": UNITS, **options})


def test_a_bad_cell_among_several_basins_is_told_by_its_line_in_the_file(write):
    text = "basin,date,rain,discharge\na,2000-01-01,1,1\na,2000-01-02,1,1\nb,2000-01-01,1,1\nb,2000-01-02,x,1\n"
    with pytest.raises(InputError, match="line 5, column 'rain': 'x' is not a number"):
        read_csv(write(text, "all.csv"), units=UNITS)


def test_a_folder_without_a_wanted_basin_is_refused(write, tmp_path):
    write(rows())
    with pytest.raises(InputError, match="gauge_ids is an empty list"):
        read_csv(tmp_path, [], units=UNITS)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (rows().replace("1.5,1", "1.5"), {}, "line 3: the row has 2 cells separated by ',', the header 3"),
        ("# from a logger\n\n" + rows().replace("1.5,1", "1.5,1#"), {}, "line 5, column 'discharge': '1#' is not a number"),
        (rows().replace(",", ";"), {"csv": {"decimal": ","}}, "line 2, column 'rain': '0.5' is not a number"),
        (rows(), {"gauge_ids": "01013500"}, "gauge_ids is the text"),
        ("bin,snow,depth\n1,2,3\n", {}, r"no column of dates .* or say which files to read by gauge_ids"),
        ("Year,Month,Day,rain\n2000,1,1,3\n", {}, "has its dates in several columns, such as year and month; join them"),
    ],
)
def test_cells_and_rows_that_could_be_misread_are_refused(write, text, options, message):
    with pytest.raises(InputError, match=message):
        read_csv(write(text), **{"units": UNITS, **options})


def test_daily_rows_stamped_late_in_the_day_are_refused_and_at_nine_kept(write):
    lines = rows().splitlines()

    def stamped(hour):
        return "\n".join([lines[0], *(line.replace(",", f"T{hour}:00,", 1) for line in lines[1:])]) + "\n"

    with pytest.raises(InputError, match=r"daily rows are stamped at 23:00: .* Write the plain date"):
        read_csv(write(stamped(23)), units=UNITS)
    assert str(read_csv(write(stamped("09")), units=UNITS)["time"].values[0]).startswith("2000-01-01T00:00")


def test_the_area_may_be_a_column_of_the_series_or_of_the_attributes(write, tmp_path):
    plain = rows()
    lines = plain.splitlines()
    with_area = "\n".join([lines[0] + ",area_km2", *(line + ",86.4" for line in lines[1:])]) + "\n"
    units = {**UNITS, "discharge": "m3/s"}
    by_column = read_csv(write(with_area), units=units)
    write("gauge_id,area_km2,slope\n01013500,86.4,2\n", "attributes.csv")
    by_table = read_csv(write(plain), units=units, attributes=tmp_path / "attributes.csv")
    for read in (by_column, by_table):
        np.testing.assert_allclose(read["discharge"].values[0], np.arange(10), rtol=1e-6)
        assert float(read["area_km2"][0]) == 86.4
    with pytest.raises(InputError, match="the column area_km2 has 2 values; a basin has one area"):
        read_csv(write(with_area.replace("86.4", "8.64", 1)), units=units)
