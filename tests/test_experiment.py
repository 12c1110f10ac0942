import tomllib
from pathlib import Path
from typing import get_args

import pytest
import tomli_w

from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.errors import InputError
from runoff_lstm.experiment import _extended, read_experiment
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout, DropoutKind
from runoff_lstm.runs.walk_forward import FineTune, Walk

CATCHMENTS = Path(__file__).parents[1] / "catchments"

TEXT = """
name = "leaf"
seed = 1
[data]
source = "netcdf"
path = "leaf.nc"
gauge_ids = ["01013500"]
forcing = ["precipitation"]
[periods]
train = [1958-10-01, 1972-09-30]
test = [1977-10-01, 1987-12-31]
[windows]
sequence_length = 100
targets_per_window = 50
[model]
hidden_sizes = [64, 32]
[model.dropout]
output = 0.4
[training]
steps = 240
learning_rate = 9e-3
"""


@pytest.fixture
def write(tmp_path):
    def written(text=TEXT, name="leaf.toml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def changed(old, new):
    assert old in TEXT
    return TEXT.replace(old, new)


def test_a_file_becomes_the_arguments_of_a_run(write):
    arguments = read_experiment(write()).arguments()
    assert arguments["periods"].named() == {"train": Period("1958-10-01", "1972-09-30"), "test": Period("1977-10-01", "1987-12-31")}
    assert arguments["inputs"] == Inputs(("precipitation",), (), 100, 50)
    assert arguments["architecture"] == Architecture(hidden_sizes=(64, 32), dropout=Dropout(output=0.4))
    assert (arguments["recipe"].steps, arguments["recipe"].learning_rate) == (240, 9e-3)


def test_paths_are_relative_to_the_file_and_variables_are_expanded(write, tmp_path, monkeypatch):
    assert read_experiment(write()).data.path == str(tmp_path / "leaf.nc")
    monkeypatch.setenv("RIVERS", str(tmp_path / "far"))
    assert read_experiment(write(changed("leaf.nc", "$RIVERS/leaf.nc"))).data.path == str(tmp_path / "far" / "leaf.nc")
    assert read_experiment(write(changed("leaf.nc", "~/leaf.nc"))).data.path == str(Path.home() / "leaf.nc")


def test_gauge_ids_may_stand_in_a_file_and_keep_their_zeros(write, tmp_path):
    (tmp_path / "ids.txt").write_text("01013500\n\n02064000\n")
    assert read_experiment(write(changed('["01013500"]', '"ids.txt"'))).data.gauge_ids == ["01013500", "02064000"]


def test_set_takes_the_place_of_a_value(write):
    experiment = read_experiment(
        write(),
        overrides=["training.steps=5", "seed=9", "data.path=other.nc", "model.dropout.output=0.1", 'evaluation.metrics=["NSE"]'],
    )
    assert (experiment.training.steps, experiment.seed, experiment.model.dropout.output) == (5, 9, 0.1)
    assert experiment.data.path.endswith("/other.nc")
    assert experiment.evaluation.metrics == ["NSE"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed("steps = 240", "step = 240"), r"\[training\] step: unknown key; did you mean 'steps'"),
        (changed("output = 0.4", "outptu = 0.4"), r"\[model.dropout\] outptu: unknown key; did you mean 'output'|there is output"),
        (changed("[windows]", "[window]"), r"window: unknown key; did you mean 'windows'"),
        (changed("path =", "pth ="), r"\[data\] path is missing|\[data\] pth: unknown key; did you mean 'path'"),
        (changed("sequence_length = 100", 'sequence_length = "long"'), r"\[windows\] sequence_length = 'long': .*integer"),
        (changed("steps = 240", "steps = 2.5"), r"\[training\] steps = 2.5: .*integer"),
        (changed("hidden_sizes = [64, 32]", "hidden_sizes = 64"), r"\[model\] hidden_sizes = 64"),
        (changed('["01013500"]', "[1013500]"), r"\[data.gauge_ids.*\] .*1013500.*string"),
        (changed("output = 0.4", "output = 1.4"), r"dropout output = 1.4 is not a probability"),
        (
            changed("output = 0.4", 'kind = "variatonal"'),
            r"\[model.dropout\] kind = 'variatonal' is not known; did you mean 'variational'",
        ),
        (changed("output = 0.4", "input = 0.1"), "dropout input needs a kind"),
        (changed("output = 0.4", 'kind = "naive"\nrecurent = 0.1'), r"recurent: unknown key; did you mean 'recurrent'"),
        (changed("[model]", '[model]\ntype = "gru"\nforget_bias = 3.0'), 'type = "gru" has no forget gate'),
        (changed("steps = 240", ""), "either steps"),
        (changed("steps = 240", 'steps = 240\nloss = "msee"'), r"\[training\] loss = 'msee'"),
        (changed('source = "netcdf"', 'source = "netcfd"'), r"\[data\] source = 'netcfd'"),
        (changed('name = "leaf"', ""), "name is missing"),
        (changed("leaf.nc", "$NOT_SET_ANYWHERE/leaf.nc"), "NOT_SET_ANYWHERE, which is not set; set it with export"),
        (changed('["01013500"]', '"nowhere.txt"'), "nowhere.txt is not there"),
        (changed("[periods]", "[data.csv]\nseparator = ';'\n[periods]"), r'\[data\] csv is for source = "csv", not "netcdf"'),
        (changed("seed = 1", "seed ="), "not a readable TOML file"),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_remedy(write, text, message):
    with pytest.raises(InputError, match=message):
        read_experiment(write(text)).arguments()


def test_training_may_be_told_in_stretches(write):
    train = "train = [1958-10-01, 1972-09-30]"
    arguments = read_experiment(
        write(changed(train, "train = [[1958-10-01, 1972-09-30], [1973-10-01, 1975-09-30]]\n#"))
    ).arguments()
    expected = Stretches((Period("1958-10-01", "1972-09-30"), Period("1973-10-01", "1975-09-30")))
    assert arguments["periods"].train == expected
    for dates, message in (
        ("[[1958-10-01, 1972-09-30], [1973, 1975-09-30]]", r"\[periods.train.1\] 0 = 1973: a date is written as 1999-10-01"),
        ("[[1958-10-01, 1972-09-30], [1970-10-01, 1985-09-30]]", "does not come after .* without overlap"),
        ("[]", r"\[periods.train\] 0 is missing"),
        ("[[1958-10-01], [1970-10-01]]", r"\[periods.train.0\] 1 is missing"),
    ):
        with pytest.raises(InputError, match=message):
            read_experiment(write(changed(train, f"train = {dates}\n#"))).arguments()


def test_every_kind_of_dropout_is_a_line_of_the_file(write):
    for kind in get_args(DropoutKind):
        places = "between = 0.1" if kind == "non_recurrent" else "recurrent = 0.2"
        experiment = read_experiment(write(changed("output = 0.4", f'kind = "{kind}"\n{places}\noutput = 0.4')))
        assert (experiment.model.dropout.kind, experiment.model.dropout.output) == (kind, 0.4)


def test_overlapping_periods_are_refused(write):
    with pytest.raises(InputError, match=r"the train period .* and the test period .* overlap"):
        read_experiment(write(changed("test = [1977-10-01", "test = [1971-10-01"))).arguments()


def test_a_missing_file_names_the_nearest(write):
    with pytest.raises(InputError, match=r"leef.toml is not there; did you mean 'leaf.toml'"):
        read_experiment(write().with_name("leef.toml"))


@pytest.mark.parametrize("override", ["training.steps", "=5", "name.first=1"])
def test_a_set_that_makes_no_sense_is_refused(write, override):
    with pytest.raises(InputError, match="--set"):
        read_experiment(write(), overrides=[override])


@pytest.mark.parametrize("name", ["leaf", "au_saumon", "baskatong"])
def test_the_shipped_configs_are_read(name):
    experiment = read_experiment(CATCHMENTS / name / f"{name}.toml")
    assert experiment.name == name
    assert Path(experiment.data.path).exists()
    assert set(experiment.arguments()["periods"].named()) == {"train", "validation", "test"}


def test_what_a_config_says_survives_being_written_again(write):
    table = tomllib.loads(TEXT)
    assert read_experiment(write(tomli_w.dumps(table), "again.toml")) == read_experiment(write())


def test_seeds_folds_and_fine_tuning_are_tables_of_the_file(write, tmp_path):
    assert read_experiment(write()).seeds == 1
    assert read_experiment(write("seeds = 8\n" + TEXT)).seeds == 8
    folds = read_experiment(write(TEXT + '[folds]\nnumber = 12\nby = "period"\nseed = 3\n')).folds
    assert (folds.number, folds.by, folds.seed) == (12, "period", 3)
    assert read_experiment(write(TEXT + "[folds]\nnumber = 12\n")).folds.by == "basin"
    tuned = read_experiment(write(TEXT + '[fine_tuning]\nstart_from = "runs/model.safetensors"\nfrozen = ["head"]\n')).arguments()
    assert (tuned["start_from"], tuned["frozen"]) == (str(tmp_path / "runs" / "model.safetensors"), ["head"])
    assert "start_from" not in read_experiment(write()).arguments()


def test_what_a_regional_model_needs_is_a_line_of_the_file(write):
    text = changed("steps = 240", "steps = 240\ngradient_length = 30\nbalance_basins = true")
    text = text.replace("hidden_sizes = [64, 32]", 'type = "ealstm"\nhidden_sizes = [64]')
    text = text.replace("[periods]", 'static_attributes = ["slope"]\non_missing = "skip"\n[periods]')
    text += '[evaluation]\nheld_out = ["02064000"]\n'
    arguments = read_experiment(write(text)).arguments()
    assert (arguments["recipe"].gradient_length, arguments["recipe"].balance_basins) == (30, True)
    assert arguments["architecture"].type == "ealstm"
    assert arguments["inputs"].static_attributes == ("slope",)
    assert (arguments["on_missing"], arguments["held_out"]) == ("skip", ("02064000",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 2\n" + TEXT + "[folds]\nnumber = 3\n", r"\[folds\] and seeds = 2 do not go together; leave one out"),
        ("seeds = 0\n" + TEXT, "seeds = 0: .*greater than or equal to 1"),
        (TEXT + "[folds]\nnumbr = 3\n", r"\[folds\] number is missing|\[folds\] numbr: unknown key; did you mean 'number'"),
        (TEXT + "[folds]\nnumber = 0\n", r"\[folds\] number = 0"),
        (TEXT + '[folds]\nnumber = 3\nby = "basn"\n', r"\[folds\] by = 'basn' is not known; did you mean 'basin'"),
        (TEXT + '[fine_tuning]\nfrozen = ["head"]\n', r"\[fine_tuning\] start_from is missing"),
        (TEXT + '[fine_tuning]\nstart_from = "a"\nfreeze = []\n', r"\[fine_tuning\] freeze: unknown key; did you mean 'frozen'"),
        (TEXT + '[fine_tuning]\nstart_from = "$NOT_SET_ANYWHERE/a"\n', "NOT_SET_ANYWHERE, which is not set"),
        (TEXT + "[evaluation]\nheldout = []\n", r"\[evaluation\] heldout: unknown key; did you mean 'held_out'"),
        (
            changed("[periods]", 'on_missing = "drop"\n[periods]'),
            r"\[data\] on_missing = 'drop' is not known; there is refuse, skip",
        ),
        (changed("[periods]", 'products = ["daymet"]\n[periods]'), r'\[data\] products is for source = "camels_us", not "netcdf"'),
        (
            changed('"netcdf"', '"camels_us"').replace("[periods]", "mend_time = true\n[periods]"),
            'mend_time is for source = "netcdf" or "zarr" or "csv", not "camels_us"',
        ),
        (changed("steps = 240", "steps = 240\ngradient_length = 0"), "gradient_length = 0 must be above zero"),
        (changed("hidden_sizes", 'type = "ealstm"\nhidden_sizes'), 'an "ealstm" has one layer'),
    ],
)
def test_a_wrong_line_of_a_regional_model_is_refused_with_place_and_remedy(write, text, message):
    with pytest.raises(InputError, match=message):
        read_experiment(write(text))


@pytest.mark.parametrize(
    "tables",
    ["", "seeds = 4\n", '[folds]\nnumber = 3\nby = "period"\n', '[fine_tuning]\nstart_from = "a.safetensors"\nfrozen = ["head"]\n'],
)
def test_the_settings_of_an_ensemble_or_of_folds_are_read_back_as_they_were(write, tables):
    text = tables + TEXT if tables.startswith("seeds") else TEXT + tables
    text = text.replace("learning_rate = 9e-3", 'schedule = "step"\nmilestones = [[2, 1e-3]]\n')
    experiment = read_experiment(write(text))
    again = read_experiment(write(tomli_w.dumps(experiment.settings()), "experiment.toml"))
    assert again.arguments() == experiment.arguments()
    assert (again.seeds, again.folds, again.fine_tuning) == (experiment.seeds, experiment.folds, experiment.fine_tuning)
    assert again.data == experiment.data


FORECAST = TEXT.replace("[model]", 'lead_times = 7\nforecast_forcing = ["precipitation"]\n[model]')


def test_a_forecast_is_told_by_a_few_lines_of_the_file(write):
    experiment = read_experiment(
        write(FORECAST + "[walk_forward]\nevery = 7\nfit_every = 4\nfine_tune = {steps = 60, learning_rate = 1e-3}\n")
    )
    inputs, walk = (experiment.arguments()[name] for name in ("inputs", "walk"))
    assert (inputs.lead_times, inputs.discharge_lags, inputs.forecast_forcing) == (7, (0,), ("precipitation",))
    assert walk == Walk(every=7, fit_every=4, fine_tune=FineTune(steps=60, learning_rate=1e-3))
    univariate = read_experiment(write(TEXT.replace('forcing = ["precipitation"]', "forcing = []"), "u.toml"))
    assert univariate.data.forcing == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FORECAST + "[walk_forward]\nevery = 0\n", r"\[walk_forward\] every = 0 must be above zero"),
        (FORECAST + "[walk_forward]\nfine_tune = {steps = 60, learning_rate = 1e-3}\n", "set fit_every, the number of origins"),
        (FORECAST + "[walk_forward]\nfit_every = 2\nfine_tune = {steps = 60, learning_rte = 1}\n", "did you mean 'learning_rate'"),
        (TEXT + "[walk_forward]\nevery = 7\n", r"\[walk_forward\] needs \[windows\] lead_times"),
        (FORECAST + "[walk_forward]\nfit_evry = 7\n", "did you mean 'fit_every'"),
        (TEXT.replace("[periods]", '[data.fill.precipitation]\nmethod = "earlir"\nlimit = 3\n[periods]'), "'earlier'"),
        (TEXT.replace("[periods]", '[data.fill.precipitation]\nmethod = "earlier"\n[periods]'), "limit is missing; add it"),
    ],
)
def test_a_wrong_line_of_a_forecast_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        read_experiment(write(text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("discharge_lags = [0]", "lag 0 is for forecasts"),
        ('lead_times = 3\nforecast_forcing = ["temperature"]', "'temperature' is not among the forcing"),
        ('forecast_forcing = ["precipitation"]', "needs lead_times"),
    ],
)
def test_inputs_that_cannot_be_are_refused(write, line, message):
    experiment = read_experiment(write(TEXT.replace("[model]", f"{line}\n[model]")))
    with pytest.raises(InputError, match=message):
        experiment.arguments()


def test_mending_is_told_in_tables_and_the_reader_reads_what_formulas_need(write):
    tables = (
        '[data.resample]\nstep = "1D"\nshare = 0.9\n'
        '[data.derive.temperature]\nformula = "(tmin + tmax) / 2"\nunits = "degC"\n'
        '[data.derive.warm]\nformula = "max(temperature, 0)"\nunits = "degC"\n'
        '[data.fill.precipitation]\nmethod = "earlier"\nperiod = "1 day"\nlimit = 3\n[periods]'
    )
    text = TEXT.replace('["precipitation"]', '["precipitation", "warm"]').replace("[periods]", tables)
    data = read_experiment(write(text)).data
    assert set(data.reader_arguments()["variables"]) == {"precipitation", "tmin", "tmax", "discharge"}
    assert data.mending() == {
        "resample": {"step": "1D", "share": 0.9},
        "derive": {
            "temperature": {"formula": "(tmin + tmax) / 2", "units": "degC"},
            "warm": {"formula": "max(temperature, 0)", "units": "degC"},
        },
        "fill": {"precipitation": {"method": "earlier", "period": "1 day", "limit": 3}},
    }


VARIANTS = {
    "ealstm": {"name": "camels_us_ealstm", "model.type": "ealstm"},
    "without_attributes": {"name": "camels_us_without_attributes", "data.static_attributes": []},
    "ungauged": {
        "name": "camels_us_ungauged",
        "folds": {"number": 12, "by": "basin", "seed": 0},
        "training.steps": 2800,
        "windows.season": None,
    },
    "forecast": {
        "name": "camels_us_forecast",
        "model.dropout.output": 0.3,
        "training.hide_discharge": 0.02,
        "training.steps": 11200,
        "training.validate_every": 5600,
        "windows.discharge_lags": [1],
        "windows.season": None,
        "windows.sequence_length": 180,
        "windows.targets_per_window": 180,
    },
}


def flat(table, before=""):
    """The values of a table by their dotted keys."""
    nested = {key: value for key, value in table.items() if isinstance(value, dict) and key != "folds"}
    values = {f"{before}{key}": value for key, value in table.items() if key not in nested}
    return values | {key: value for name, one in nested.items() for key, value in flat(one, f"{before}{name}.").items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_the_benchmark_but_for_a_few_keys(name):
    folder = CATCHMENTS / "camels_us"
    base, variant = (flat(_extended(folder / f"{one}.toml")) for one in ("camels_us", name))
    assert {key: variant.get(key) for key in base.keys() | variant.keys() if base.get(key) != variant.get(key)} == VARIANTS[name]


def test_paths_of_a_base_are_relative_to_it_and_chains_are_followed(write, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write()
    write('extends = "../leaf.toml"\nname = "two"\n[training]\nsteps = 3\n', "deep/two.toml")
    write('extends = "../two.toml"\nwithout = ["periods.test"]\n[data]\ngauge_ids = ["1"]\n', "deep/er/three.toml")
    experiment = read_experiment(tmp_path / "deep" / "er" / "three.toml", overrides=["seed=9"])
    assert (experiment.name, experiment.seed, experiment.training.steps, experiment.training.learning_rate) == ("two", 9, 3, 9e-3)
    assert experiment.data.path == str(tmp_path / "leaf.nc")
    assert (experiment.data.gauge_ids, experiment.periods.test) == (["1"], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "one.toml"\n', r"extends goes in a circle \(one.toml extends one.toml\); leave one out"),
        ('extends = "two.toml"\n', r"extends goes in a circle \(one.toml extends two.toml extends one.toml\)"),
        ('extends = "leef.toml"\n', r"leef.toml is not there; did you mean 'leaf.toml'"),
        ('extends = "leaf.toml"\nwithout = ["periods.tset"]\n', r"without: leaf.toml has no periods.tset; did you mean 'test'"),
        ('extends = "leaf.toml"\nwithout = ["data.path.x"]\n', "without: leaf.toml has no data.path.x"),
        ('extends = "leaf.toml"\nwithout = "periods"\n', 'write extends = "base.toml"'),
        ('without = ["periods"]\n' + TEXT, 'write extends = "base.toml"'),
        ("extends = 3\n", 'write extends = "base.toml"'),
        ('extends = "leaf.toml"\n[training]\nstepps = 3\n', "stepps: unknown key; did you mean 'steps'"),
    ],
)
def test_an_extension_that_cannot_be_is_refused(write, text, message):
    write()
    write('extends = "one.toml"\n', "two.toml")
    with pytest.raises(InputError, match=message):
        read_experiment(write(text, "one.toml"))
