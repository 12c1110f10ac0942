"""No name of a variable changes what a model may see: what is named like something of ours is learned from as it is, or refused."""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import make_basins, prepare

from runoff_lstm.data.derived import derive
from runoff_lstm.data.filling import fill_from_earlier
from runoff_lstm.data.names import OUTPUTS
from runoff_lstm.data.periods import Period
from runoff_lstm.data.readers import read_csv, read_netcdf
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.features import input_names
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.runs import run as run_folder
from runoff_lstm.runs import scores as run_scores
from runoff_lstm.runs.run import train_run
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")

PERIODS = Periods(Period("2000-03-01", "2000-12-31"), Period("2001-01-01", "2001-05-31"), Period("2001-06-01", "2001-11-30"))
INPUTS = Inputs(("rain", "noise"), sequence_length=30, targets_per_window=30)
VARIANTS = {
    "simulation": INPUTS,
    "lags": dataclasses.replace(INPUTS, discharge_lags=(1, 2), season=True),
    "forecast": dataclasses.replace(INPUTS, lead_times=2, forecast_forcing=("noise",)),
    "recursive": dataclasses.replace(INPUTS, lead_times=2),
    "attribute": dataclasses.replace(INPUTS, forcing=("rain",), static_attributes=("noise",), discharge_lags=(1,), season=True),
}
MADE = input_names([0, 1, 2], season=True)
KEPT = ["discharge", "discharge_filled", "rain_filled", "set_missing"]
ATTRIBUTES = ["area_km2", "gauge_lat", "gauge_lon"]
FREE = [
    "target",
    "targets",
    "observed",
    "simulated",
    "forecast",
    "future",
    "noise_filled",
    "rain_filled_filled",
    "aridity",
    "issue_date",
    "lead_time",
    "member",
    "gauge_id",
    "date",
    "units",
    "runoff_lstm_source",
    "uses_later_values",
    "unit",
    "gate",
    "state",
    "season",
    "residual_variance",
]


def noisy(name="noise", dims=("basin", "time"), *, binary=False):
    """Two basins with an input that has nothing to do with their discharge."""
    dataset = make_basins("a", "b").drop_vars(name, errors="ignore")
    values = np.random.default_rng(3).random([dataset.sizes[dim] for dim in dims]).astype("float32")
    return dataset.assign({name: (dims, values.round() if binary else values, {"units": "1"})})


def named(inputs, name):
    def swapped(names):
        return tuple(name if one == "noise" else one for one in names)

    lists = ("forcing", "static_attributes", "forecast_forcing")
    return dataclasses.replace(inputs, **{one: swapped(getattr(inputs, one)) for one in lists})


def trained(name, variant, **data):
    method = {"forecast": "direct", "recursive": "recursive"}.get(variant)
    dims = ("basin",) if variant == "attribute" else ("basin", "time")
    model = train(
        noisy(name, dims, **data),
        periods=PERIODS,
        inputs=named(VARIANTS[variant], name),
        recipe=Recipe(steps=3, batch_size=4, learning_rate=1e-2, validate_every=3),
        architecture=Architecture(hidden_sizes=(4,), forecast=method),
        device="cpu",
    ).model
    return model.module.state_dict()


@pytest.fixture(scope="module")
def neutral():
    return {variant: trained("noise", variant) for variant in VARIANTS}


def taken(name, variant):
    """Whether the name is that of something else, so that noise may not have it."""
    inputs = VARIANTS[variant]
    made = input_names(inputs.discharge_lags, season=inputs.season)
    return name in (*KEPT, *made, *(ATTRIBUTES if variant != "attribute" else ()))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", [*FREE, *MADE, *KEPT, *ATTRIBUTES])
def test_noise_is_learned_from_as_noise_or_refused_whatever_its_name(neutral, variant, name):
    if taken(name, variant):
        with pytest.raises(InputError, match=name):
            trained(name, variant)
    else:
        weights = trained(name, variant)
        assert all(torch.equal(weights[part], one) for part, one in neutral[variant].items())


@pytest.mark.parametrize("name", ["discharge_filled", "rain_filled"])
def test_a_mask_is_no_forcing_even_where_it_could_be_one(name):
    with pytest.raises(InputError, match=f"forcing: the name '{name}' is kept for the mask of"):
        trained(name, "simulation", binary=True)


@pytest.mark.parametrize("name", ["basin", "time"])
def test_a_dimension_is_no_forcing(name):
    with pytest.raises(InputError, match=f"the data have no forcing '{name}'"):
        prepare(noisy(), periods=PERIODS, inputs=named(INPUTS, name), recipe=Recipe(steps=1), device="cpu")


def test_noise_named_as_an_input_that_is_made_is_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"'discharge_lag_1_log' is made by discharge_lags, .* leave discharge_lags out"):
        Inputs(("rain", "discharge_lag_1_log"), discharge_lags=(1,))
    with pytest.raises(InputError, match=r"'season_sin' is made by season, .* rename = \{other = \"season_sin\"\}"):
        Inputs(("rain",), ("season_sin",), season=True)


@pytest.mark.parametrize("inputs", [INPUTS, dataclasses.replace(INPUTS, lead_times=2)])
def test_a_whole_run_ends_well_whatever_the_names_of_its_forcing_and_coordinates(tmp_path, monkeypatch, inputs):
    for home, function in ((run_folder, "plot_history"), (run_folder, "write_figure"), (run_scores, "write_figure")):
        monkeypatch.setattr(home, function, lambda *_, **__: None)
    for function in ("plot_distribution", "figure_hydrograph", "plot_forecasts", "plot_lead_times"):
        monkeypatch.setattr(run_scores, function, lambda *_, **__: None)
    dataset, names = noisy(), ("target", "aridity", "observed", "simulated", "forecast", "gauge_id", "NSE")
    plain = [f"other_{name}" for name in names]
    dataset = dataset.assign_coords({name: ("basin", ["x", "y"]) for name in ("issue_date", "lead_time", "member")})
    scores = [
        train_run(
            tmp_path / kind[0],
            dataset.assign(dict.fromkeys(kind, dataset["noise"])),
            name="small",
            periods=PERIODS,
            inputs=dataclasses.replace(inputs, forcing=("rain", *kind)),
            recipe=Recipe(steps=3, batch_size=4, validate_every=3),
            architecture=Architecture(hidden_sizes=(4,)),
            device="cpu",
            observe=lambda _: None,
        ).scores
        for kind in (plain, names)
    ]
    one, other = (score.table if inputs.lead_times else score.metrics for score in scores)
    assert one.equals(other)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_coordinate_is_never_taken_for_what_is_made(name):
    model = prepare(noisy(), periods=PERIODS, inputs=INPUTS, recipe=Recipe(steps=1), device="cpu").model
    made = model.simulate(noisy().assign_coords({name: ("basin", [1.0, 2.0])}))
    assert made.identical(model.simulate(noisy()))


@pytest.mark.parametrize("name", ["set_missing", "rain_filled", "area_km2"])
def test_a_reader_refuses_a_variable_under_a_name_that_is_kept_for_another(tmp_path, name):
    noisy(name).to_netcdf(tmp_path / "noisy.nc")
    with pytest.raises(InputError, match=f"the name '{name}' is kept for .* rename = {{other = \"{name}\"}}"):
        read_netcdf(tmp_path / "noisy.nc")
    renamed = read_netcdf(tmp_path / "noisy.nc", rename={"other": name})
    np.testing.assert_array_equal(renamed["other"], noisy(name)[name])


def test_a_csv_file_with_a_column_of_such_a_name_is_refused(tmp_path):
    noisy("set_missing").sel(basin="a", drop=True).drop_vars(["leak", "slope"]).to_dataframe().to_csv(tmp_path / "a.csv")
    units = {"rain": "mm d-1", "temperature": "degC", "discharge": "mm d-1", "set_missing": "1"}
    with pytest.raises(InputError, match="the name 'set_missing' is kept for the number of values that a reader has made NaN"):
        read_csv(tmp_path / "a.csv", units=units)


def test_noise_is_never_taken_for_a_mask():
    with pytest.raises(InputError, match="'rain_filled' is kept for the mask of rain"):
        fill_from_earlier(noisy("rain_filled"), "rain", period="1 day", limit=2)
    with pytest.raises(InputError, match="derive: the name 'rain_filled' is kept for the mask of rain"):
        derive(noisy(), "rain_filled", "2 * noise", units="1")
    with pytest.raises(InputError, match="'discharge' is kept for the observed discharge over"):
        prepare(
            noisy().drop_vars("discharge").assign(discharge=("basin", [1.0, 2.0])),
            periods=PERIODS, inputs=INPUTS, recipe=Recipe(steps=1), device="cpu",
        )  # fmt: skip
