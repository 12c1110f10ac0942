"""New data are read by the record of how those of a training were read; what cannot be applied is named."""

import logging

import numpy as np
import pytest
from conftest import make_basins

from runoff_lstm.data.periods import Period
from runoff_lstm.data.preparation import read_as
from runoff_lstm.data.readers import write_dataset
from runoff_lstm.errors import InputError

RECORD = {
    "source": "csv",
    "csv": {"decimal": ",", "date_format": "%d/%m/%Y"},
    "rename": {"rain": "P", "discharge": "Q", "tmin": "Tn", "tmax": "Tx"},
    "units": {"rain": "mm d-1", "discharge": "L s-1", "tmin": "degC", "tmax": "degC"},
    "missing": ["?"],
    "area_km2": 86.4,
    "derive": {"temperature": {"formula": "(tmin + tmax) / 2", "units": "degC"}},
    "fill": {"rain": {"method": "interpolation", "limit": 1}},
}
TEXT = "date;P;Q;Tn;Tx\n" + "".join(f"{day:02d}/01/2000;{day},5;{day}000;0;{day}\n" for day in range(1, 10))


def read(path, record=RECORD, *, forcing=("rain", "temperature"), **more):
    return read_as(record, path, **{"forcing": forcing, "static_attributes": (), "needs_discharge": False, **more})


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "7.csv"
    path.write_text(TEXT.replace("3,5", "?"))
    return path


def test_a_file_like_that_of_the_training_is_read_filled_and_derived_without_a_word(table):
    dataset = read(table, needs_discharge=True, trained_on=("7",))
    np.testing.assert_allclose(dataset["rain"].values[0, :4], [1.5, 2.5, 3.5, 4.5])
    np.testing.assert_allclose(dataset["temperature"].values[0, :2], [0.5, 1.0])
    np.testing.assert_allclose(dataset["discharge"].values[0, :2], [1.0, 2.0])  # 86.4 km2: 1 m3 s-1 is 1 mm d-1


def test_what_a_model_does_not_take_need_not_be_there(table):
    table.write_text("date;P\n02/01/2000;1,5\n03/01/2000;2,5\n")
    assert read(table, forcing=("rain",))["rain"].values.tolist() == [[1.5, 2.5]]


def test_every_part_can_be_overridden_and_an_empty_table_removes_one(table):
    table.write_text(table.read_text().replace("P;", "Regen;"))
    dataset = read(table, overrides={"rename": {"rain": "Regen"}, "units": {"rain": "cm d-1"}, "fill": {}})
    np.testing.assert_allclose(dataset["rain"].values[0, :3], [15, 25, np.nan])
    table.write_text(TEXT.replace(",", "."))
    assert read(table, overrides={"csv": {"decimal": "."}})["rain"].values[0, 0] == 1.5


def test_one_area_is_for_the_basins_of_the_training_alone(table):
    other = table.rename(table.with_name("8.csv"))
    with pytest.raises(InputError, match="area_km2 has no value for basin 8"):
        read(other, needs_discharge=True, trained_on=("7",))
    dataset = read(other, needs_discharge=True, trained_on=("7",), overrides={"area_km2": {"8": 172.8}})
    assert dataset["discharge"].values[0, 0] == 0.5


def test_data_of_another_source_keep_what_is_not_of_the_files_and_the_rest_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write_dataset(make_basins("7", days=30), tmp_path / "7.nc")
    read(tmp_path / "7.nc", {key: value for key, value in RECORD.items() if key != "derive"})
    assert "trained on csv data; their csv, missing, rename, units say nothing of netcdf data" in caplog.text


def test_a_unit_that_new_data_state_otherwise_is_refused_until_one_is_chosen(tmp_path):
    write_dataset(make_basins("7", days=30), tmp_path / "7.nc")
    record = {"source": "netcdf", "units": {"rain": "cm d-1"}}
    with pytest.raises(InputError, match="states the unit mm d-1 of rain, and the data of the training were read in cm d-1"):
        read(tmp_path / "7.nc", record, forcing=("rain",))
    chosen = [
        read(tmp_path / "7.nc", record, forcing=("rain",), overrides={"units": {"rain": one}}) for one in ("mm d-1", "cm d-1")
    ]
    np.testing.assert_allclose(chosen[1]["rain"], 10 * chosen[0]["rain"])


def test_climatology_of_other_years_than_those_of_the_training_is_refused(table):
    record = {**RECORD, "fill": {"rain": {"method": "climatology", "limit": 1}}}
    with pytest.raises(InputError, match=r"fills rain by the mean of the calendar day .* --set data.fill=\{\}"):
        read(table, record, train=Period("1990-01-01", "1999-12-31"))
    assert read(table, record, train=Period("2000-01-01", "2000-01-09"))["rain"].isnull().sum() == 1
    read(table, record, overrides={"fill": {}})


def test_attributes_of_the_training_that_are_gone_are_named(table):
    record = {**RECORD, "attributes": str(table.with_name("gone.csv"))}
    with pytest.raises(InputError, match=r"gone.csv, which is not there; give --attributes"):
        read(table, record, static_attributes=("elev",))
    read(table, record)
    table.with_name("here.txt").write_text("gauge_id,elev\n7,100\n")
    dataset = read(table, record, static_attributes=("elev",), overrides={"attributes": str(table.with_name("here.txt"))})
    assert dataset["elev"].values.tolist() == [100]
