import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_basins

from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.basins import median_basin, summary, worst_basins
from runoff_lstm.evaluation.comparison import compare, read_scores
from runoff_lstm.runs.comparison import compare_tables

TRAIN, TEST = slice("2000-01-01", "2000-12-31"), slice("2001-01-01", "2001-11-30")


def scores(values, name="NSE"):
    return pd.Series(values, name=name, dtype=float)


def test_a_comparison_is_what_is_worked_out_by_hand():
    ours = scores({"01": 0.5, "02": 0.7, "03": 0.9, "04": 0.6, "05": 0.8})
    theirs = scores({"02": 0.8, "01": 0.4, "03": 0.6, "06": 0.1, "04": 0.6})
    compared = compare(ours, theirs)
    assert compared.basins == 4
    assert (compared.ours, compared.reference) == (pytest.approx(0.65), pytest.approx(0.6))
    assert compared.values["difference"].to_dict() == pytest.approx({"01": 0.1, "02": -0.1, "03": 0.3, "04": 0.0})
    assert compared.median_difference == pytest.approx(0.05)
    assert compared.better == 0.5


@pytest.mark.parametrize(("metric", "better"), [("RMSE", 2 / 3), ("KGE_beta", 1 / 3), ("NSE", 1 / 3), ("kge-beta", 1 / 3)])
def test_better_is_nearer_to_the_best_value_of_the_metric(metric, better):
    ours, theirs = scores([0.5, 0.7, 0.9], metric), scores([0.6, 0.8, 0.7], metric)
    assert compare(ours, theirs).better == pytest.approx(better)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        (
            [0.1, -0.15, 0.3, 0.2, 0.05, -0.02, 0.4, 0.25],
            2 * 10 / 2**8,
        ),  # negative ranks 1 and 4: ten sets of ranks sum to 5 or less
        ([1, 2, 3, -4, 5, 0], 2 * 7 / 2**5),
        ([0.5], 1.0),
        (
            [1, 1, 1, -1, 2, 2, -2, 3, 0, 0],
            0.17583403918261342,
        ),  # ties: scipy.stats.wilcoxon(..., method="approx", correction=False)
    ],
)
def test_the_p_value_is_that_of_the_signed_rank_test(differences, p_value):
    assert compare(scores(differences), scores(np.zeros(len(differences)))).p_value == pytest.approx(p_value, rel=1e-9)


def test_many_differences_have_nearly_the_same_p_value_counted_and_approximated(monkeypatch):
    differences = scores(np.random.default_rng(1).normal(0.15, 1.0, size=50))
    counted = compare(differences, scores(np.zeros(50))).p_value
    monkeypatch.setattr("runoff_lstm.evaluation.comparison.EXACT", 0)
    assert compare(differences, scores(np.zeros(50))).p_value == pytest.approx(counted, rel=0.02)


def asymptotic_p(z):
    """Two-sided tail of the normal distribution by its asymptotic series, for large z."""
    series = sum((-1) ** k * math.prod(range(1, 2 * k, 2)) / z ** (2 * k) for k in range(6))
    return 2 * math.exp(-(z**2) / 2) / (z * math.sqrt(2 * math.pi)) * series


@pytest.mark.parametrize("count", [93, 100, 531, 1800])
def test_a_p_value_far_out_is_small_and_not_zero(count):
    differences = scores(np.arange(1, count + 1))  # all ranks positive: z = mean / spread
    z = (count * (count + 1) / 4) / math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    assert z > 8.3
    compared = compare(differences, scores(np.zeros(count)))
    assert compared.p_value == pytest.approx(asymptotic_p(z), rel=1e-5)
    assert f"p = {compared.p_value:.3g}" in str(compared)


def test_a_p_value_below_all_numbers_is_printed_as_a_bound():
    compared = compare(scores(np.arange(1, 4001)), scores(np.zeros(4000)))
    assert "Wilcoxon signed-rank p < 2.23e-308" in str(compared)


def test_no_p_value_is_printed_of_fewer_than_six_basins_that_differ():
    six, five = ([0.1, 0.2, 0.3, 0.4, 0.5, last] for last in (0.6, 0.0))
    assert "signed-rank p = 0.0312" in str(compare(scores(six), scores(np.zeros(6))))
    assert "no signed-rank test, which needs 6 basins that differ (5 of 6 do)" in str(compare(scores(five), scores(np.zeros(6))))
    one = str(compare(scores({"01": 0.5}), scores({"01": 0.25})))
    assert one.startswith("NSE of 1 basin: median 0.5000, reference 0.2500\n")
    assert "p = " not in one


def test_basins_that_are_as_good_are_counted_apart():
    ours, theirs = scores([0.1, -0.2, 0.3, 0.4], "beta_NSE"), scores([-0.1, -0.3, 0.2, 0.4], "beta_NSE")
    compared = compare(ours, theirs)
    assert (compared.better, compared.equal) == (0.25, 0.5)
    assert "better in 25.0% of the basins, equal in 50.0%, median difference" in str(compared)


@pytest.mark.parametrize("name", ["beta_nse", "Beta-NSE", "BETA NSE"])
def test_a_metric_in_another_letter_case_points_the_same_way(name):
    compared = compare(scores([-0.1, 0.2], name), scores([0.3, -0.1], "beta_NSE"))
    assert (compared.metric, compared.better) == ("beta_NSE", 0.5)


def test_without_a_known_best_value_there_is_no_verdict_until_it_is_given():
    ours, theirs = scores([0.5, 0.7, 0.9], "MSE"), scores([0.6, 0.8, 0.7], "MSE")
    compared = compare(ours, theirs)
    assert math.isnan(compared.better)
    assert math.isnan(compared.equal)
    assert "which is better cannot be told: the best value of 'MSE' is not known" in str(compared)
    assert "better in" not in str(compared)
    assert compare(ours, theirs, best=0).better == pytest.approx(2 / 3)


def test_two_metrics_are_not_compared():
    with pytest.raises(InputError, match="ours is NSE, the reference kge; compare one metric"):
        compare(scores([0.5]), scores([0.6], "kge"))


def test_a_gauge_id_that_comes_twice_is_refused():
    with pytest.raises(InputError, match="the reference has gauge id '01' twice"):
        compare(scores({"01": 0.5}), pd.Series([0.5, 0.6], index=["01", "01"], name="NSE"))


def test_the_comparison_does_not_change_with_the_side_or_the_order():
    random = np.random.default_rng(3)
    ours, theirs = (scores(1 - random.exponential(size=50)).sample(frac=1, random_state=4) for _ in range(2))
    one, other = compare(ours, theirs), compare(theirs.sample(frac=1, random_state=5), ours)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-12)
    assert one.median_difference == pytest.approx(-other.median_difference)
    assert one.better == pytest.approx(1 - other.better)


def test_equal_scores_have_no_p_value():
    same = scores({"01": 0.5, "02": 0.7})
    assert math.isnan(compare(same, same).p_value)
    assert compare(same, same).better == 0


def test_basins_without_a_finite_value_in_both_are_left_out():
    ours = scores({"01": 0.5, "02": -np.inf, "03": np.nan, "04": 0.9})
    theirs = scores({"01": 0.4, "02": 0.3, "03": 0.6, "04": np.inf})
    compared = compare(ours, theirs)
    assert compared.values.index.tolist() == ["01"]
    assert compared.notes == ("3 basins without a value in ours or the reference left out (first 02)",)
    apart = compare(scores({"01": 0.5, "02": 0.6}), scores({"03": 0.1, "01": 0.4, "04": 0.2}))
    assert apart.notes == ("1 basin only in ours left out (first 02)", "2 basins only in the reference left out (first 03)")


def test_tables_without_a_basin_in_common_are_refused_with_their_first_ids():
    with pytest.raises(
        InputError, match=r"ours begin with 01013500, 01022500, the reference's with 1013500, 1022500.*leading zeros"
    ):
        compare(scores({"01013500": 0.5, "01022500": 0.6}), scores({"1013500": 0.5, "1022500": 0.6}))


def test_the_summary_leaves_basins_without_a_value_out():
    of = summary(scores([0.0, 0.75, -0.5, np.nan]))
    assert (of.median, of.mean, of.at_or_below_zero, of.basins, of.undefined) == (0.0, pytest.approx(0.25 / 3), 2, 3, 1)
    assert summary(scores([0.5, -np.inf])) == summary(scores([0.5, np.nan]))


@pytest.mark.parametrize("heading", ["gauge_id,NSE,KGE", "basin,NSE,KGE", "basin_id,NSE,KGE", "site,NSE,KGE"])
def test_a_table_is_read_with_its_gauge_ids_as_text(tmp_path, heading):
    path = tmp_path / "scores.csv"
    path.write_text(f"{heading}\n01013500,0.5,1\n02064000,-inf,2\n00000001,,3\n")
    read = read_scores(path, "NSE")
    assert read.index.tolist() == ["01013500", "02064000", "00000001"]
    assert read.name == "NSE"
    np.testing.assert_array_equal(read, [0.5, -np.inf, np.nan])


def test_a_column_is_found_in_another_letter_case_and_named_as_the_metric(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("basin,alpha_nse,other\n01,0.9,1\n")
    assert read_scores(path, "alpha_NSE").name == read_scores(path, "ALPHA-NSE").name == "alpha_NSE"
    assert read_scores(path, "Other").name == "other"


def scored_run(folder, *, first="1990-01-01", days=30, units="mm d-1", basins=("01", "02"), factor=1.0, nse=0.5, counts=None):
    """A run folder's table and simulation."""
    folder.mkdir()
    times = pd.date_range(first, periods=days)
    flow = np.tile(np.arange(1.0, days + 1), (len(basins), 1)) * factor
    observed = xr.DataArray(flow, {"basin": list(basins), "time": times}, ("basin", "time"), attrs={"units": units})
    xr.Dataset({"observed": observed, "simulated": observed}).to_netcdf(folder / "test_simulation.nc")
    table = pd.DataFrame({"NSE": nse, "RMSE": 1.0, "days": counts or days}, index=pd.Index(basins, name="gauge_id"))
    table.to_csv(folder / "test_metrics.csv")
    (folder / "experiment.toml").write_text(f"[periods]\ntest = [{first}, {times[-1]:%Y-%m-%d}]\n")
    return folder


def test_runs_scored_alike_are_compared_without_a_note(tmp_path):
    one, other = scored_run(tmp_path / "one", nse=0.75), scored_run(tmp_path / "other")
    for theirs in (other, other / "test_metrics.csv"):
        compared = compare_tables(one, theirs, "nse")
        assert (compared.metric, compared.basins, compared.better, compared.notes) == ("NSE", 2, 1.0, ())


@pytest.mark.parametrize("with_simulation", [True, False])
@pytest.mark.parametrize("change", [{"first": "1990-01-02"}, {"days": 29}])
def test_runs_scored_over_different_periods_are_refused_with_both(tmp_path, change, with_simulation):
    one, other = scored_run(tmp_path / "one"), scored_run(tmp_path / "other", **change)
    if not with_simulation:
        (one / "test_simulation.nc").unlink()
    end = "1990-01-29" if "days" in change else "1990-01-31"
    first = change.get("first", "1990-01-01")
    with pytest.raises(InputError, match=f"one was scored over 1990-01-01 to 1990-01-30.*other over {first} to {end}.*periods"):
        compare_tables(one, other, "NSE")


def test_a_metric_in_the_unit_of_discharge_is_not_compared_across_units(tmp_path):
    one, other = scored_run(tmp_path / "one"), scored_run(tmp_path / "other", units="m3 s-1")
    assert compare_tables(one, other, "NSE").basins == 2
    with pytest.raises(InputError, match=r"one is in mm d-1, .*other in m3 s-1"):
        compare_tables(one, other, "rmse")


def test_what_was_scored_differently_and_what_is_not_stated_are_noted(tmp_path):
    one = scored_run(tmp_path / "one", basins=("01", "02", "03"))
    other = scored_run(tmp_path / "other", basins=("02", "03", "04"), counts=[30, 12, 30], factor=1.01)
    assert compare_tables(one, other).notes == (
        "1 basin only in ours left out (first 01)",
        "1 basin only in the reference left out (first 04)",
        "the number of days scored differs in 1 of 2 basins, most in 03: 30 against 12",
        "observed discharge differs in 2 of 2 basins (first 02); check the sources of both",
    )
    (tmp_path / "theirs.csv").write_text("basin,NSE,RMSE\n01,0.5,1\n")
    (note,) = compare_tables(one, tmp_path / "theirs.csv", "RMSE").notes[1:]
    assert note.startswith("period and days scored and unit not stated by ")
    assert note.endswith("theirs.csv; make sure that both were scored alike")


def test_folds_of_periods_are_not_held_to_the_test_period_of_their_experiment(tmp_path):
    one, other = scored_run(tmp_path / "one"), scored_run(tmp_path / "other")
    for folder, test in ((one, "1990"), (other, "1991")):
        (folder / "experiment.toml").write_text(f'folds = {{by = "period"}}\nperiods = {{test = [{test}-01-01, {test}-12-31]}}\n')
    assert compare_tables(one, other).notes == ()


def test_the_gauge_id_need_not_be_the_first_column(tmp_path):
    (tmp_path / "scores.csv").write_text("NSE,gauge_id\n0.5,01013500\n")
    assert read_scores(tmp_path / "scores.csv", "NSE").to_dict() == {"01013500": 0.5}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"gauge_id,NSEE\n01,0.5\n", "has no column 'NSE'; did you mean 'NSEE'"),
        (b"gauge_id,nse,Nse\n01,0.5,0.6\n", "the columns nse and Nse may both be 'NSE'"),
        (b'gauge_id,NSE\n01,0.5\n02,"0,85"\n', "basin 02: NSE is '0,85', not a number"),
        (b"gauge_id,NSE\n01,0.5\n02,0.6\n01,0.7\n", "has gauge id '01' twice; keep one row"),
        (b"", "is not a table in CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not a table in CSV"),
        (b"gauge_id,NSE\n01,0.5\n02,0.6,7,8\n", "is not a table in CSV"),
    ],
)
def test_a_file_that_is_no_table_of_the_metric_is_refused(tmp_path, content, message):
    (tmp_path / "scores.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_scores(tmp_path / "scores.csv", "NSE")
    with pytest.raises(InputError, match=r"nowhere.csv is not there"):
        read_scores(tmp_path / "nowhere.csv", "NSE")


def steady(**series):
    """One basin with 2 mm of rain and 1 mm of discharge every day, but for what is given."""
    dataset = make_basins("01013500")[["rain", "discharge"]]
    days = dataset.sizes["time"]
    for name, value in {"rain": 2.0, "discharge": 1.0, **series}.items():
        values = np.asarray(value, dtype="float32")
        dataset[name] = (("basin", "time"), np.broadcast_to(values, (1, days)).copy()) if values.ndim < 2 else value
    return dataset


def then(values):
    """Days of a record: 1 before the test period, then by turns the values given."""
    days = make_basins("01013500")["time"].values
    inside = days >= np.datetime64("2001-01-01")
    flow = np.ones(len(days))
    flow[inside] = np.resize(values, inside.sum())
    return flow


@pytest.mark.parametrize(
    ("dataset", "seen"),
    [
        (steady(), "nothing that the data show"),
        (steady().assign(aridity=("basin", [2.25])), "arid (aridity 2.2)"),
        (steady().assign(aridity=("basin", [0.5])), "nothing that the data show"),
        (steady(discharge=0.05), "hardly any flow (0.05 mm)"),
        (steady(discharge=then([0, 1.5, 1.5])), "no flow 34% of the time"),
        (steady(discharge=then([np.nan, 1])), "50% not observed"),
        (steady(rain=0.75), "more discharge than precipitation"),
        (steady(discharge=then([1.75])), "1.8 times the discharge of the training period"),
        (steady(discharge=then([0.5])), "0.5 times the discharge of the training period"),
        (steady(discharge=then([np.nan])), "100% not observed"),
        (steady(rain=np.nan), "nothing that the data show"),
    ],
)
def test_what_the_data_show_of_a_bad_basin_is_told(dataset, seen):
    found = worst_basins(dataset, scores({"01013500": -1.0}), train=TRAIN, test=TEST)
    assert found.loc["01013500", "seen"] == seen


def test_several_reasons_are_told_with_the_numbers():
    dataset = steady(rain=0.5, discharge=then([0, 0, 9, np.nan]))
    found = worst_basins(dataset, scores({"01013500": -1.0}), train=TRAIN, test=TEST)
    row = found.loc["01013500"]
    assert (row["NSE"], row["mean_discharge"]) == (-1.0, pytest.approx(3, abs=0.05))
    assert (row["zero_flow"], row["missing"]) == (pytest.approx(2 / 3, abs=0.01), pytest.approx(1 / 4, abs=0.01))
    assert row["seen"].split("; ") == [
        "no flow 67% of the time",
        "25% not observed",
        "more discharge than precipitation",
        "3.0 times the discharge of the training period",
    ]


@pytest.mark.parametrize(
    ("metric", "values", "worst"),
    [
        ("NSE", [0.9, -3.0, np.nan, 0.2], ["c", "b", "d", "a"]),
        ("RMSE", [0.9, 3.0, np.nan, 0.2], ["c", "b", "a", "d"]),
        ("KGE_alpha", [0.9, 3.0, np.nan, 0.2], ["c", "b", "d", "a"]),
        ("FHV", [-80.0, 30.0, np.nan, 0.2], ["c", "a", "b", "d"]),
        ("fhv", [-80.0, 30.0, np.nan, 0.2], ["c", "a", "b", "d"]),
        ("beta_nse", [-0.9, 0.1, -np.inf, 0.2], ["c", "a", "d", "b"]),
    ],
)
def test_the_worst_come_first_whichever_way_a_metric_points(metric, values, worst):
    of = scores(dict(zip("abcd", values, strict=True)), metric)
    found = worst_basins(make_basins(*"abcd"), of, train=TRAIN, test=TEST)
    assert found.index.tolist() == worst
    assert found.columns[0] == metric
    assert worst_basins(make_basins(*"abcd"), of, train=TRAIN, test=TEST, number=2).index.tolist() == worst[:2]


def test_an_undefined_score_among_the_worst_is_said_to_be_one():
    found = worst_basins(make_basins("a", "b"), scores({"a": 0.5, "b": np.nan}), train=TRAIN, test=TEST)
    assert found.index.tolist() == ["b", "a"]
    assert found.loc["b", "seen"].split("; ")[0] == "NSE undefined"
    assert "undefined" not in found.loc["a", "seen"]


def test_the_worst_of_a_metric_without_a_known_best_value_are_refused_until_it_is_given():
    of = scores({"a": 0.1, "b": 3.0}, "MSE")
    with pytest.raises(InputError, match=r"the best value of 'MSE' is not known, .* give it, such as best=0"):
        worst_basins(make_basins("a", "b"), of, train=TRAIN, test=TEST)
    assert worst_basins(make_basins("a", "b"), of, train=TRAIN, test=TEST, best=0).index.tolist() == ["b", "a"]


def test_the_median_basin_is_one_of_those_that_have_a_score():
    assert median_basin(scores({"a": np.nan, "b": 0.9, "c": np.inf, "d": 0.5, "e": 0.1, "f": np.nan, "g": np.nan})) == "d"
    assert median_basin(scores({"a": np.nan, "b": 0.9})) == "b"
    assert median_basin(scores({"a": np.nan, "b": -np.inf})) is None


def test_discharge_alone_is_enough():
    dataset = xr.Dataset({"discharge": steady()["discharge"]})
    assert worst_basins(dataset, scores({"01013500": 0.0}), train=TRAIN, test=TEST).index.tolist() == ["01013500"]


@pytest.mark.large_data
@pytest.mark.parametrize(("model", "single", "ensemble"), [("lstm", 0.7316, 0.7594), ("ealstm", 0.7123, 0.7409)])
def test_the_medians_of_the_benchmark_are_read(large_data, model, single, ensemble):
    folder = large_data / "reference" / "ealstm_paper_531"
    files = sorted(folder.glob(f"test_metrics_531camels_{model}_seed*.csv"))
    medians = [summary(read_scores(path, "NSE")).median for path in files]
    assert len(medians) == 8
    assert np.mean(medians) == pytest.approx(single, abs=5e-5)
    whole = read_scores(folder / f"test_metrics_531camels_{model}_ensemble.csv", "NSE")
    assert whole.index[0] == "01022500"
    assert summary(whole).median == pytest.approx(ensemble, abs=5e-5)
    compared = compare(whole, read_scores(files[0], "NSE"))
    assert compared.basins == 531
    assert compared.p_value < 1e-40


@pytest.mark.large_data
@pytest.mark.parametrize(
    ("kind", "metric", "p_value", "better"),
    [
        ("ensemble", "NSE", 2.11e-26, 0.702),
        ("seed111", "NSE", 2.05e-17, 0.655),
        ("ensemble", "beta_nse", 0.0200, 0.537),
        ("ensemble", "alpha_NSE", None, 0.6384),
    ],
)
def test_the_benchmark_is_compared_to_the_right_p_value_and_verdict(large_data, kind, metric, p_value, better):
    folder = large_data / "reference" / "ealstm_paper_531"
    compared = compare_tables(*(folder / f"test_metrics_531camels_{model}_{kind}.csv" for model in ("lstm", "ealstm")), metric)
    assert compared.better == pytest.approx(better, abs=1e-3)
    assert p_value is None or compared.p_value == pytest.approx(p_value, rel=3e-3)
