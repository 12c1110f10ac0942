from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.readers import READERS
from runoff_lstm.errors import InputError
from runoff_lstm.experiment import read_experiment
from runoff_lstm.inputs.scaling import DischargeScale, Scaler

TRAIN = Period("2000-03-01", "2000-12-31")
NAMES = ["rain", "temperature"]


def test_mean_and_spread_are_those_of_the_training_period(basins):
    scaler = Scaler.fit(basins, TRAIN, forcing=NAMES, static_attributes=["leak"])
    rain = basins["rain"].sel(time=slice("2000-03-01", "2000-12-31")).values.astype(float)
    assert scaler.mean["rain"] == pytest.approx(rain.mean(), rel=1e-12)
    assert scaler.std["rain"] == pytest.approx(np.sqrt(np.mean((rain - rain.mean()) ** 2)), rel=1e-12)
    assert (scaler.minimum["rain"], scaler.maximum["rain"]) == (rain.min(), rain.max())
    assert scaler.mean["leak"] == pytest.approx(basins["leak"].values.astype(float).mean())


def test_no_day_outside_the_training_period_is_seen(basins):
    before = Scaler.fit(basins, TRAIN, forcing=NAMES)
    outside = (basins["time"] < np.datetime64("2000-03-01")) | (basins["time"] > np.datetime64("2000-12-31"))
    poisoned = basins.assign({name: basins[name].where(~outside, 1e6) for name in [*NAMES, "discharge"]})
    assert Scaler.fit(poisoned, TRAIN, forcing=NAMES) == before
    np.testing.assert_array_equal(
        DischargeScale.fit(poisoned, TRAIN, before).basin_std, DischargeScale.fit(basins, TRAIN, before).basin_std
    )


def test_training_in_stretches_is_measured_over_all_of_them_alone(basins):
    stretches = Stretches((Period("2000-03-01", "2000-06-30"), Period("2001-03-01", "2001-06-30")))
    together = basins.sel(time=stretches.labels(basins.indexes["time"]))
    gapless = together.assign_coords(time=basins.indexes["time"][: together.sizes["time"]])
    whole = Period(gapless.indexes["time"][0], gapless.indexes["time"][-1])
    scaler = Scaler.fit(basins, stretches, forcing=NAMES)
    assert scaler == Scaler.fit(gapless, whole, forcing=NAMES)
    spread, expected = (DischargeScale.fit(*one, scaler).basin_std for one in ((basins, stretches), (gapless, whole)))
    np.testing.assert_array_equal(spread, expected)
    for data, last in ((basins, "2001-06-30"), (gapless, whole.end)):
        data["rain"].loc[{"time": last}] = 900.0
    assert scaler.widened(basins, stretches) == scaler.widened(gapless, whole) != scaler


@given(st.floats(-50, 500, width=32))
def test_the_scaler_inverts_itself(value):
    scaler = Scaler({"rain": 3.2}, {"rain": 6.9}, {}, {})
    values = np.array([value, np.nan], dtype=np.float32)
    np.testing.assert_allclose(scaler.invert("rain", scaler.scale("rain", values)), values, rtol=1e-5, atol=1e-4)


def test_scaled_training_days_have_mean_0_and_spread_1(basins):
    scaled = Scaler.fit(basins, TRAIN, forcing=NAMES).apply(basins).sel(time=TRAIN.label_slice)
    for name in [*NAMES, "discharge"]:
        assert float(scaled[name].mean()) == pytest.approx(0, abs=1e-4)
        assert float(scaled[name].std()) == pytest.approx(1, abs=1e-4)
        assert scaled[name].dtype == np.float32


def test_missing_values_are_left_out_and_stay_missing(basins):
    holed = basins.assign(rain=basins["rain"].where(basins["time"] != np.datetime64("2000-05-01")))
    scaler = Scaler.fit(holed, TRAIN, forcing=NAMES)
    assert scaler.mean["rain"] == pytest.approx(np.nanmean(holed["rain"].sel(time=TRAIN.label_slice).values.astype(float)))
    assert int(scaler.apply(holed)["rain"].isnull().sum()) == 3


def test_the_zero_of_the_scale_is_no_flow_and_the_spread_is_each_basins(basins):
    scaler = Scaler.fit(basins, TRAIN, forcing=NAMES)
    scale = DischargeScale.fit(basins, TRAIN, scaler)
    assert scaler.invert("discharge", np.array([scale.zero_flow])) == pytest.approx(0, abs=1e-6)
    flow = basins["discharge"].sel(time=TRAIN.label_slice).values.astype(float)
    np.testing.assert_allclose(scale.basin_std, flow.std(axis=1))


def test_the_spread_of_hourly_discharge_is_told_per_day(basins):
    scaler = Scaler.fit(basins, TRAIN, forcing=NAMES)
    hourly = basins.assign(discharge=basins["discharge"].assign_attrs(units="mm h-1"))
    daily = DischargeScale.fit(basins, TRAIN, scaler).basin_std
    np.testing.assert_allclose(DischargeScale.fit(hourly, TRAIN, scaler).basin_std, 24 * daily)


def test_the_root_of_discharge_is_what_is_scaled_and_discharge_is_what_comes_back(basins):
    plain, rooted = (Scaler.fit(basins, TRAIN, forcing=NAMES, root_transform=root) for root in (False, True))
    flow = basins["discharge"].sel(time=TRAIN.label_slice).values.astype(float)
    assert rooted.mean["discharge"] == pytest.approx(np.sqrt(flow).mean(), rel=1e-6)
    assert rooted.std["discharge"] == pytest.approx(np.sqrt(flow).std(), rel=1e-6)
    assert (rooted.minimum, rooted.maximum) == (plain.minimum, plain.maximum)
    assert rooted.mean["rain"] == plain.mean["rain"]
    np.testing.assert_array_equal(rooted.scale("rain", flow), plain.scale("rain", flow))
    values = np.array([0.0, 0.3, 4.0, np.nan])
    expected = (np.sqrt(values) - rooted.mean["discharge"]) / rooted.std["discharge"]
    np.testing.assert_allclose(rooted.scale("discharge", values), expected, rtol=1e-6)
    assert rooted.zero_flow == pytest.approx(expected[0])
    np.testing.assert_allclose(rooted.invert("discharge", expected), values, atol=1e-6)
    assert rooted.invert("discharge", np.array([rooted.zero_flow - 1])) == 0
    scale = DischargeScale.fit(basins, TRAIN, rooted)
    np.testing.assert_allclose(scale.basin_std, np.sqrt(flow).std(axis=1), rtol=1e-6)
    hourly = basins.assign(discharge=basins["discharge"].assign_attrs(units="mm h-1"))
    np.testing.assert_allclose(DischargeScale.fit(hourly, TRAIN, rooted).basin_std, np.sqrt(24) * scale.basin_std)


def test_a_constant_forcing_is_refused(basins):
    with pytest.raises(InputError, match=r"rain has the same value \(2\) throughout"):
        Scaler.fit(basins.assign(rain=xr.full_like(basins["rain"], 2.0)), TRAIN, forcing=NAMES)


def test_one_basin_with_an_attribute_is_refused(basin):
    with pytest.raises(InputError, match=r"leak has the same value .* leave it out"):
        Scaler.fit(basin, TRAIN, forcing=NAMES, static_attributes=["leak"])


def test_a_basin_without_training_discharge_is_named(basins):
    silent = basins.assign(discharge=basins["discharge"].where(basins["basin"] != "01022500"))
    with pytest.raises(InputError, match="basin 01022500: no discharge is observed in the training period"):
        Scaler.fit(silent, TRAIN, forcing=NAMES)


def test_a_forcing_without_any_training_value_is_named(basins):
    with pytest.raises(InputError, match="rain has no value in the training period"):
        Scaler.fit(basins.assign(rain=basins["rain"] * np.nan), TRAIN, forcing=NAMES)


@pytest.mark.parametrize(
    ("forcing", "attributes", "message"),
    [
        (["rainn"], [], "no forcing 'rainn'; did you mean 'rain'"),
        (["leak"], [], "no forcing 'leak'"),
        (["discharge"], [], "'discharge' is what is simulated and no forcing"),
        (["rain"], ["rain"], "no static attribute 'rain'"),
        (["rain", "rain"], [], "forcing 'rain' is named twice"),
    ],
)
def test_names_that_are_not_there_are_refused(basins, forcing, attributes, message):
    with pytest.raises(InputError, match=message):
        Scaler.fit(basins, TRAIN, forcing=forcing, static_attributes=attributes)


@pytest.mark.large_data
def test_the_papers_scaler_is_reproduced(large_data):
    with xr.open_dataset(large_data / "camels_us_531.nc") as raw:
        names = ["prcp", "srad", "tmax", "tmin", "vp"]
        discharge = (raw["discharge_cfs"] * 0.028316846592 * 86.4 / raw["area_km2"]).assign_attrs(units="mm d-1")
        dataset = raw[names].assign(discharge=discharge).load()
    scaler = Scaler.fit(dataset, Period("1999-10-01", "2008-09-30"), forcing=names)
    means = [3.17563234, 372.01003929, 17.31934062, 3.97393362, 924.98004197, 1.49996196]
    stds = [6.94344737, 131.63560881, 10.86689718, 10.3940032, 629.44576432, 3.62443672]
    assert [scaler.mean[name] for name in [*names, "discharge"]] == pytest.approx(means, rel=1e-6)
    assert [scaler.std[name] for name in [*names, "discharge"]] == pytest.approx(stds, rel=1e-6)


@pytest.mark.large_data
def test_the_shipped_benchmark_reads_data_with_the_published_scaler(large_data):
    experiment = read_experiment(Path(__file__).parents[2] / "catchments" / "camels_us" / "camels_us.toml")
    data, inputs = experiment.data, experiment.arguments()["inputs"]
    dataset = READERS[data.source](data.path, **data.reader_arguments())
    assert dataset.sizes["basin"] == 531
    train = experiment.arguments()["periods"].train
    scaler = Scaler.fit(dataset, train, forcing=inputs.forcing, static_attributes=inputs.static_attributes)
    published = {
        "prcp": (3.17563234, 6.94344737),
        "srad": (372.01003929, 131.63560881),
        "tmax": (17.31934062, 10.86689718),
        "tmin": (3.97393362, 10.3940032),
        "vp": (924.98004197, 629.44576432),
        "discharge": (1.49996196, 3.62443672),
    }
    for name, (mean, std) in published.items():
        digits = 1e-9 if name in inputs.forcing else 1e-7  # discharge in mm d-1 is float32
        assert (scaler.mean[name], scaler.std[name]) == (pytest.approx(mean, rel=digits), pytest.approx(std, rel=digits))
    assert len(inputs.static_attributes) == 27
