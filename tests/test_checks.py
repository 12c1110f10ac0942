import numpy as np
import pytest
from conftest import make_basins, prepare

from runoff_lstm.data import units
from runoff_lstm.data.readers import read_netcdf
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.schema import check_basins
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.scores import evaluate_run
from runoff_lstm.runs.walk_forward import LSTMForecaster
from runoff_lstm.training.recipe import Recipe

INPUTS = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30)
RECIPE = Recipe(steps=2, batch_size=4)
SMALL = Architecture(hidden_sizes=(4,))


def without_units(dataset, *names):
    return dataset.assign({name: dataset[name].drop_attrs() for name in names})


def with_units(dataset, **given):
    return dataset.assign({name: dataset[name].assign_attrs(units=unit) for name, unit in given.items()})


def test_every_variable_without_a_unit_is_named_in_one_sentence(basins):
    bare = without_units(basins.assign(vp=basins["rain"]), "rain", "temperature", "vp")
    message = r'rain, temperature, vp have no unit; .* units = \{rain = "mm d-1", temperature = "degC", vp = "..."\}'
    with pytest.raises(InputError, match=message):
        check_basins(bare)


@pytest.mark.parametrize("unit", [None, "", "  "])
def test_an_empty_unit_is_none(basins, unit):
    with pytest.raises(InputError, match="temperature has no unit"):
        check_basins(with_units(basins, temperature=unit))


def test_units_that_are_not_known_are_named_together(basins):
    with pytest.raises(InputError, match=r"rain: the unit 'buckets' is not known; .*; so do for temperature \('hot'\)"):
        check_basins(with_units(basins, rain="buckets", temperature="hot"))
    with pytest.raises(InputError, match="rain: the unit 'mm/month' counts in months or years"):
        check_basins(with_units(basins, rain="mm/month"))


@pytest.mark.parametrize("unit", ["1", "%", "-", "kg m-2 s-1", "K", "cfs", "°C", 1])
def test_a_unit_that_is_known_passes_as_it_is(basins, unit):
    assert check_basins(with_units(basins, temperature=unit))["temperature"].attrs["units"] == unit


def test_a_mask_needs_no_unit_and_holds_nothing_but_zero_and_one(basins):
    mask = (basins["rain"] * 0).drop_attrs()
    assert "rain_filled" in check_basins(basins.assign(rain_filled=mask))
    with pytest.raises(InputError, match="'rain_filled' is kept for the mask of rain"):
        check_basins(basins.assign(rain_filled=mask + 0.5))


def prepared(dataset, periods):
    prepare(dataset, periods=periods, inputs=INPUTS, recipe=RECIPE, device="cpu")


def simulated(dataset, periods):
    prepare(make_basins("a", "b"), periods=periods, inputs=INPUTS, recipe=RECIPE, device="cpu").model.simulate(dataset)


def forecast(dataset, periods):
    inputs = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30, lead_times=2)
    prepare(make_basins("a", "b"), periods=periods, inputs=inputs, recipe=RECIPE, device="cpu").model.forecast(dataset)


def fitted(dataset, periods):
    inputs = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30, lead_times=2)
    LSTMForecaster(inputs, RECIPE, device="cpu").fit(dataset)


def evaluated(dataset, periods):
    model = prepare(make_basins("a", "b"), periods=periods, inputs=INPUTS, recipe=RECIPE, device="cpu").model
    evaluate_run("nowhere", [model], dataset, name="small", periods=periods)


@pytest.mark.parametrize("enter", [prepared, simulated, forecast, fitted, evaluated])
@pytest.mark.parametrize(("unit", "message"), [(None, "temperature has no unit"), ("buckets", "temperature: .* not known")])
def test_no_entry_takes_a_forcing_whose_unit_is_not_known(basins, periods, enter, unit, message):
    with pytest.raises(InputError, match=message):
        enter(with_units(basins, temperature=unit), periods)


def test_a_run_and_a_longer_step_ask_for_units_too(tmp_path, basins, periods):
    bare = without_units(basins, "rain", "temperature")
    with pytest.raises(InputError, match="rain, temperature have no unit"):
        train_run(tmp_path / "run", bare, name="small", periods=periods, inputs=INPUTS, recipe=RECIPE, device="cpu")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="rain, temperature have no unit"):
        resample(bare, "1W")


def test_a_reader_asks_for_all_units_at_once_and_takes_them_as_it_says(tmp_path, basins):
    without_units(basins, "rain", "temperature").to_netcdf(tmp_path / "bare.nc")
    with pytest.raises(InputError, match=r'rain, temperature have no unit; .*\{rain = "mm d-1", temperature = "degC"\}'):
        read_netcdf(tmp_path / "bare.nc")
    read = read_netcdf(tmp_path / "bare.nc", units={"rain": "mm d-1", "temperature": "degC"})
    np.testing.assert_array_equal(read["temperature"], basins["temperature"])


def test_canonical_units_are_known_without_loading_pint(monkeypatch):
    monkeypatch.setattr(units, "_unit", lambda text: pytest.fail(f"pint was asked for {text}"))
    units.check_units({"rain": "mm d-1", "temperature": "degC", "radiation": "W m-2", "share": "1"})
