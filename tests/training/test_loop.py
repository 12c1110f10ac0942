from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_basins, model_of, with_bfloat16
from safetensors.torch import load_file

from runoff_lstm.data.periods import Period
from runoff_lstm.errors import InputError
from runoff_lstm.inputs import device
from runoff_lstm.inputs.scaling import DischargeScale, Scaler
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.training import loop as fitting
from runoff_lstm.training.checkpoint import read_checkpoint, write_checkpoint
from runoff_lstm.training.loop import fit
from runoff_lstm.training.recipe import Recipe, TrainingError

FORCING = ["rain", "temperature"]
TRAIN = Period("2000-03-01", "2001-06-30")


OUTPUT = Dropout(output=0.3)
IN_LOOP = Dropout(kind="naive", input=0.1, recurrent=0.1, output=0.3)


class StoppedError(Exception):
    """A run that is cut off at an update."""


def setting(dataset=None, dropout=OUTPUT, **windows):
    dataset = make_basins("01013500", "01022500") if dataset is None else dataset
    scaler = Scaler.fit(dataset, TRAIN, forcing=FORCING)
    arguments = {"sequence_length": 20, "targets_per_window": 10, "period": TRAIN, **windows}
    torch.manual_seed(5)
    model = model_of(2, hidden_sizes=[8], dropout=dropout)
    return model, Windows(scaler.apply(dataset), FORCING, **arguments), DischargeScale.fit(dataset, TRAIN, scaler)


def train(recipe, *, seed=1, stop_at=None, model=None, dropout=OUTPUT, **arguments):
    made, windows, scale = setting(dropout=dropout)
    model = model or made

    def observe(progress):
        if stop_at is not None and progress.update == stop_at:
            raise StoppedError

    history = fit(model, windows, recipe, scale=scale, seed=seed, observe=observe, **arguments)
    return {name: value.clone() for name, value in model.state_dict().items()}, history


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


RECIPE = Recipe(steps=30, batch_size=16, learning_rate=1e-2, schedule="one_cycle", validate_every=10)


def test_training_lowers_the_loss():
    _, history = train(Recipe(steps=200, batch_size=32, learning_rate=1e-2, validate_every=20))
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[0]


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    (first, _), (again, _), (other, _) = train(RECIPE), train(RECIPE), train(RECIPE, seed=2)
    assert_equal(first, again)
    assert not torch.equal(first["head.linear.weight"], other["head.linear.weight"])


@pytest.mark.parametrize("stop_at", [1, 7, 10, 23, 30])
@pytest.mark.parametrize(("optimizer", "dropout"), [("adam", OUTPUT), ("adamw", OUTPUT), ("adam", IN_LOOP)])
def test_a_stopped_run_resumes_to_the_very_weights_and_history(tmp_path, monkeypatch, stop_at, optimizer, dropout):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(steps=30, batch_size=16, learning_rate=1e-2, schedule="one_cycle", validate_every=10, optimizer=optimizer)
    expected, history = train(recipe, dropout=dropout)
    with pytest.raises(StoppedError):
        train(recipe, stop_at=stop_at, dropout=dropout, checkpoint=tmp_path / "checkpoint.pt")
    resumed, resumed_history = train(recipe, dropout=dropout, checkpoint=tmp_path / "checkpoint.pt", resume=True)
    assert_equal(expected, resumed)
    same = ["update", "epoch", "train_loss", "learning_rate"]
    np.testing.assert_array_equal(history[same].to_numpy(), resumed_history[same].to_numpy())


def test_the_first_checkpoint_is_there_before_the_first_update(tmp_path):
    expected, _ = train(RECIPE)
    with pytest.raises(StoppedError):
        train(RECIPE, stop_at=1, checkpoint=tmp_path / "checkpoint.pt")
    assert read_checkpoint(tmp_path / "checkpoint.pt").update == 0
    assert_equal(expected, train(RECIPE, checkpoint=tmp_path / "checkpoint.pt", resume=True)[0])


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    expected, _ = train(RECIPE, checkpoint=tmp_path / "checkpoint.pt")
    assert_equal(expected, train(RECIPE, checkpoint=tmp_path / "checkpoint.pt", resume=True)[0])


def test_two_epochs_and_two_more_equal_four(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=1e-2, validate_every=5)
    expected, history = train(recipe)
    per_epoch = int((history["epoch"] <= 2).sum())
    assert per_epoch > 0
    _, windows, _ = setting()
    updates = sum(-(-len(windows.training_tiles(seed=1, epoch=epoch)) // 16) for epoch in (0, 1))
    with pytest.raises(StoppedError):
        train(recipe, stop_at=updates, checkpoint=tmp_path / "checkpoint.pt")
    assert_equal(expected, train(recipe, checkpoint=tmp_path / "checkpoint.pt", resume=True)[0])


@pytest.mark.parametrize(
    "budgets",
    [
        ({"steps": 13}, {"steps": 31}),  # neither ends with a validation
        ({"steps": 20}, {"steps": 30}),
        ({"epochs": 1}, {"epochs": 3}),
        ({"epochs": 2, "schedule": "step", "milestones": ((2, 1e-3), (4, 1e-4))}, {"epochs": 4}),
        ({"steps": 13, "patience": 2}, {"steps": 40}),
    ],
)
def test_a_finished_run_goes_on_to_the_very_result_of_a_larger_budget_from_the_start(tmp_path, budgets):
    small = Recipe(batch_size=16, learning_rate=1e-2, validate_every=5, **budgets[0])
    large = replace(small, **budgets[1])

    def validated(recipe, **arguments):
        made, *_ = setting()
        return train(recipe, model=made, validate=lambda: -float(made.state_dict()["head.linear.weight"].abs().sum()), **arguments)

    expected, history = validated(large)
    smaller, smaller_history = validated(small)
    for resume in (False, True):
        again, again_history = validated(small, checkpoint=tmp_path / "checkpoint.pt", resume=resume)
        assert_equal(smaller, again)
        pd.testing.assert_frame_equal(smaller_history.drop(columns="seconds"), again_history.drop(columns="seconds"))
    further, further_history = validated(large, checkpoint=tmp_path / "checkpoint.pt", resume=True)
    assert_equal(expected, further)
    pd.testing.assert_frame_equal(history.drop(columns="seconds"), further_history.drop(columns="seconds"))


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        (RECIPE, {"steps": 60}, r'schedule = "one_cycle" spreads .* with steps = 60 instead of 30 .* first update on; train anew'),
        (Recipe(steps=4, schedule="cosine"), {"steps": 8}, r'schedule = "cosine" spreads the learning rate over the whole budget'),
        (Recipe(steps=4), {"steps": 3}, r"with steps = 4, and steps = 3 is no larger budget; give more steps, or train anew"),
        (Recipe(steps=4), {"steps": None, "epochs": 3}, r"with steps = 4, and epochs = 3 is no larger budget; give more steps"),
        (Recipe(steps=4), {"steps": 8, "batch_size": 9}, r"is of a training with other steps, batch_size; train again"),
    ],
)
def test_a_budget_that_would_change_what_was_done_is_refused(tmp_path, small, large, message):
    train(small, checkpoint=tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match=message):
        train(replace(small, **large), checkpoint=tmp_path / "checkpoint.pt", resume=True)


def test_a_run_that_an_earlier_version_validated_at_its_end_does_not_go_on_with_a_larger_budget(tmp_path):
    path, recipe = tmp_path / "checkpoint.pt", Recipe(steps=3, validate_every=2)
    _, history = train(recipe, checkpoint=path)
    state = read_checkpoint(path)
    state.history = history[fitting.HISTORY_COLUMNS].to_numpy().tolist()
    write_checkpoint(state, path)
    with pytest.raises(InputError, match="was written by an earlier version, which validated where the budget ended"):
        train(replace(recipe, steps=6), checkpoint=path, resume=True)


def test_the_best_validated_weights_are_kept_and_patience_ends_the_run():
    scores = iter([0.1, 0.7, 0.3, 0.2, 0.6, 0.9])
    model, seen = setting()[0], []

    def validate():
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(scores)

    recipe = Recipe(steps=60, batch_size=16, validate_every=10, patience=3)
    weights, history = train(recipe, model=model, validate=validate)
    assert history["validation_NSE"].tolist() == [0.1, 0.7, 0.3, 0.2, 0.6]
    assert history["kept"].tolist() == [False, True, False, False, False]
    assert_equal(weights, seen[1])


def scored(recipe, scores):
    """Train with the validation scores given; the weights at each validation, those kept, and the history."""
    left, model, seen = iter(scores), setting()[0], []

    def validate():
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(left)

    return seen, *train(recipe, model=model, validate=validate)


@pytest.mark.parametrize(
    "schedule", [{"schedule": "one_cycle"}, {"schedule": "cosine"}, {"schedule": "step", "milestones": ((2, 1e-4),)}]
)
def test_where_the_rate_falls_the_last_weights_are_kept_whatever_validation_says(schedule):
    seen, weights, history = scored(Recipe(steps=60, batch_size=16, validate_every=10, **schedule), [0.1, 0.9, 0.8, 0.3, 0.4, 0.5])
    assert_equal(weights, seen[-1])
    assert history.loc[history["kept"], "update"].tolist() == [60]


def test_patience_chooses_and_counts_only_after_the_peak_of_the_rate():
    recipe = Recipe(steps=80, batch_size=16, validate_every=10, schedule="one_cycle", patience=2)
    seen, weights, history = scored(recipe, [0.99, 0.98, 0.97, 0.96, 0.95, 0.3, 0.2, 0.1])
    assert history["learning_rate"].iloc[4] > 0.5 * recipe.learning_rate > history["learning_rate"].iloc[5]
    assert_equal(weights, seen[5])  # the early scores are higher, at a rate near its peak
    assert history.loc[history["kept"], "update"].tolist() == [60]
    assert len(history) == 8


def test_without_validation_the_last_weights_are_kept():
    _, history = train(Recipe(steps=30, batch_size=16, validate_every=10))
    assert history["kept"].tolist() == [False, False, True]


@pytest.mark.parametrize("stop_at", [35, 50])  # 50: the very update at which patience ends
def test_patience_survives_a_resume(tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(steps=60, batch_size=16, validate_every=10, patience=3)
    scores = [0.1, 0.7, 0.3, 0.2, 0.6, 0.9]
    first, second = iter(scores[: stop_at // 10]), iter(scores[stop_at // 10 :])
    with pytest.raises(StoppedError):
        train(recipe, stop_at=stop_at, checkpoint=tmp_path / "checkpoint.pt", validate=lambda: next(first))
    _, history = train(recipe, checkpoint=tmp_path / "checkpoint.pt", resume=True, validate=lambda: next(second))
    assert history["validation_NSE"].tolist() == [0.1, 0.7, 0.3, 0.2, 0.6]


def test_a_checkpoint_of_other_settings_or_data_is_refused(tmp_path):
    train(RECIPE, checkpoint=tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="other learning_rate"):
        train(
            Recipe(steps=30, batch_size=16, learning_rate=2e-2, schedule="one_cycle", validate_every=10),
            checkpoint=tmp_path / "checkpoint.pt",
            resume=True,
        )
    model, windows, scale = setting(make_basins("01013500", "01022500", "x"))
    with pytest.raises(InputError, match="other data"):
        fit(model, windows, RECIPE, scale=scale, seed=1, checkpoint=tmp_path / "checkpoint.pt", resume=True)


def test_a_value_that_is_not_finite_stops_the_run_by_basin_day_and_variable_and_saves_the_batch(tmp_path):
    dataset = make_basins("01013500", "01022500")
    model, windows, scale = setting(dataset)
    windows._block[700 + 100, 1] = torch.inf
    with pytest.raises(TrainingError, match=r"update 1: basin 01022500, 2000-04-10: temperature is inf .* batch is saved in"):
        fit(model, windows, Recipe(steps=5), scale=scale, checkpoint=tmp_path / "checkpoint.pt")
    batch = load_file(tmp_path / "non_finite_batch.safetensors")
    assert torch.isinf(batch["forcing"]).any()


@pytest.mark.filterwarnings("ignore")
def test_a_diverging_loss_stops_the_run_by_update_rate_and_norm_and_the_checkpoint_stays_sound(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(TrainingError, match=r"diverged at update \d+: loss .*, learning rate 1e\+03, gradient norm .*; lower"):
        train(Recipe(steps=50, batch_size=16, learning_rate=1e3), checkpoint=tmp_path / "checkpoint.pt")
    state = read_checkpoint(tmp_path / "checkpoint.pt")
    assert all(torch.isfinite(value).all() for value in state.weights.values())


@pytest.mark.parametrize("loss", ["mse", "nse", "mae", "kge"])
def test_every_loss_trains(loss):
    _, history = train(Recipe(steps=100, batch_size=32, learning_rate=1e-2, validate_every=20, loss=loss))
    assert history["train_loss"].iloc[-1] < 0.9 * history["train_loss"].iloc[0]


@with_bfloat16
def test_bfloat16_trains_close_to_float32():
    (_, exact), (_, mixed) = (
        train(Recipe(steps=60, batch_size=32, learning_rate=1e-2, precision=precision)) for precision in ("float32", "bfloat16")
    )
    assert mixed["train_loss"].iloc[-1] == pytest.approx(exact["train_loss"].iloc[-1], rel=0.1)
    assert mixed["train_loss"].iloc[-1] != exact["train_loss"].iloc[-1]


def test_training_leaves_torchs_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    model, windows, scale = setting()
    torch.manual_seed(3)
    fit(model, windows, Recipe(steps=2), scale=scale)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either steps .* or epochs"),
        ({"steps": 5, "epochs": 5}, "either steps .* or epochs"),
        ({"steps": 0}, "steps = 0 must be above zero"),
        ({"steps": 5, "learning_rate": -1.0}, "learning_rate = -1.0 must be above zero"),
        ({"steps": 5, "schedule": "step"}, "milestones"),
        ({"steps": 5, "milestones": ((2, 0.1),)}, "milestones"),
        ({"steps": 5, "gradient_length": 0}, "gradient_length = 0 must be above zero"),
        ({"steps": 5, "batch_size": 0}, "batch_size = 0 must be above zero"),
        ({"steps": 5, "patience": 0}, "patience = 0 must be above zero"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Recipe(**arguments)


@pytest.fixture
def _two_threads(monkeypatch):
    """Two processors for this process, and threads of torch's for each."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "processors", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(("batch_size", "asked", "threads"), [(4, None, 1), (4096, None, 2), (4, 2, 2), (4096, 1, 1)])
def test_the_threads_follow_the_work_or_what_was_asked_for_and_the_number_is_given_back(batch_size, asked, threads):
    seen = []
    recipe = Recipe(steps=1, batch_size=batch_size, validate_every=1, threads=asked)
    model, windows, scale = setting()
    history = fit(model, windows, recipe, scale=scale, observe=lambda _: seen.append(torch.get_num_threads()))
    assert seen == [threads]
    assert history.attrs["threads"] == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(("then", "threads"), [(None, 2), ("auto", 2), (1, 1)])
def test_a_resumed_run_keeps_its_threads_unless_others_are_asked_for(tmp_path, caplog, then, threads):
    file, recipe = tmp_path / "checkpoint.pt", Recipe(steps=4, batch_size=4, validate_every=2)
    with pytest.raises(StoppedError):
        train(replace(recipe, threads=2), stop_at=2, checkpoint=file)
    assert read_checkpoint(file).threads == 2
    with caplog.at_level("INFO"):
        _, history = train(replace(recipe, threads=then), checkpoint=file, resume=True)
    assert history.attrs["threads"] == read_checkpoint(file).threads == threads
    assert ("1 thread(s) in place of the 2 before: the last digits may differ" in caplog.messages) == (threads != 2)


@pytest.mark.usefixtures("_two_threads")
def test_threads_found_by_trial_are_kept_in_the_checkpoint_once_they_are_found(tmp_path):
    file, recipe = tmp_path / "checkpoint.pt", Recipe(steps=15, batch_size=4, validate_every=20, threads="auto")
    with pytest.raises(StoppedError):
        train(recipe, stop_at=1, checkpoint=file)
    assert read_checkpoint(file).threads is None
    _, history = train(recipe, checkpoint=file, resume=True)
    assert history.attrs["threads"] == read_checkpoint(file).threads
    assert history.attrs["threads"] in (1, 2)


def test_updates_that_become_slow_are_told_in_one_line(monkeypatch, caplog):
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now
    step = fitting._Training.step

    def slower(training, batch):
        clock.now += 0.1 if training.state.update < 30 else 1.0
        return step(training, batch)

    monkeypatch.setattr(fitting, "time", clock)
    monkeypatch.setattr(fitting._Training, "step", slower)
    train(Recipe(steps=80, batch_size=4, validate_every=40))
    (line,) = [one for one in caplog.messages if "busy" in one]
    assert line.startswith("update 45: updates take 1 s, the first ones took 0.1 s: the machine is busy")


@pytest.mark.parametrize("keep", [True, False])
def test_the_recipe_says_whether_freed_memory_is_kept(monkeypatch, keep):
    asked = []
    monkeypatch.setattr(fitting, "freed_memory_kept", lambda *, keep: (asked.append(keep), nullcontext())[1])
    train(Recipe(steps=1, batch_size=4, keep_memory=keep))
    assert asked == [keep]


def test_a_gradient_as_long_as_the_sequence_changes_nothing():
    whole = {"steps": 12, "batch_size": 16, "learning_rate": 1e-2, "validate_every": 4}
    (one, history), (other, again) = train(Recipe(**whole)), train(Recipe(**whole, gradient_length=20))
    assert_equal(one, other)
    np.testing.assert_array_equal(history["train_loss"], again["train_loss"])


def first_step(gradient_length, forcing):
    """The loss of a first update without dropout, on 8 windows of 20 + 9 steps whose forcing is a leaf; its gradient is kept."""
    model, windows, scale = setting(dropout=Dropout())
    recipe = Recipe(steps=1, gradient_length=gradient_length)
    training = fitting._Training(model, windows, recipe, scale=scale, validate=None, seed=1, checkpoint=None)
    batch = windows.gather(windows.training_tiles(seed=1, epoch=0)[:8])
    forcing.data = batch.forcing.clone()
    loss, _ = training.step(replace(batch, forcing=forcing))
    return loss, forcing


def test_the_gradient_reaches_back_so_far_and_no_farther():
    _, forcing = first_step(5, torch.zeros(1, requires_grad=True))
    felt = (forcing.grad != 0).any(dim=2).any(dim=0)
    assert felt.tolist() == [False] * 15 + [True] * 14  # the first target is step 20: it and the four before it, and all after


def test_the_loss_does_not_depend_on_the_gradient_length():
    whole, _ = first_step(None, torch.zeros(1, requires_grad=True))
    for length in (1, 7, 19):
        torch.testing.assert_close(first_step(length, torch.zeros(1, requires_grad=True))[0], whole)


def test_a_shorter_gradient_trains_to_nearly_the_same_and_resumes_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    settings = {"steps": 60, "batch_size": 32, "learning_rate": 1e-2, "validate_every": 20}
    recipe = Recipe(**settings, gradient_length=10)
    expected, history = train(recipe)
    whole, of_whole = train(Recipe(**settings))
    assert history["train_loss"].iloc[-1] == pytest.approx(of_whole["train_loss"].iloc[-1], rel=0.1)
    assert not torch.equal(expected["head.linear.weight"], whole["head.linear.weight"])
    with pytest.raises(StoppedError):
        train(recipe, stop_at=33, checkpoint=tmp_path / "checkpoint.pt")
    assert_equal(expected, train(recipe, checkpoint=tmp_path / "checkpoint.pt", resume=True)[0])


def test_a_shorter_gradient_goes_with_bfloat16():
    _, history = train(Recipe(steps=20, batch_size=16, gradient_length=10, precision="bfloat16", validate_every=20))
    assert np.isfinite(history["train_loss"]).all()


def test_a_gradient_longer_than_the_sequence_is_refused():
    with pytest.raises(InputError, match="gradient_length = 21 is longer than sequence_length = 20; shorten it"):
        train(Recipe(steps=1, gradient_length=21))


def uneven():
    """Windows of two basins, the second of which is observed on the last 200 days alone."""
    dataset = make_basins("01013500", "01022500")
    late = dataset["time"] > np.datetime64("2000-12-13")
    return setting(dataset.assign(discharge=dataset["discharge"].where((dataset["basin"] == "01013500") | late)))[1]


def counted_days(windows, tiles, basin):
    """The days of a basin that count, in the order of their windows."""
    days = []
    for batch in windows.batches(tiles, 64):
        for window, target in (~torch.isnan(batch.discharge[..., 0])).nonzero().tolist():
            if int(batch.basin[window]) == basin:
                days.append(int(batch.day[window]) - batch.discharge.shape[1] + 1 + target)
    return days


def test_balanced_basins_come_equally_often_and_the_longest_record_once():
    windows = uneven()
    for epoch in range(3):
        plain = windows.training_tiles(seed=1, epoch=epoch)
        tiles = windows.training_tiles(seed=1, epoch=epoch, balanced=True)
        one, other = (tiles.basin == 0).sum(), (tiles.basin == 1).sum()
        assert one == other == (plain.basin == 0).sum() > 2 * (plain.basin == 1).sum()
        days = counted_days(windows, tiles, 0)
        assert len(set(days)) == len(days) == windows.coverage.loc["01013500", "used"]
        repeats = np.unique(counted_days(windows, tiles, 1), return_counts=True)[1]
        assert len(repeats) == windows.coverage.loc["01022500", "used"]
        assert repeats.max() - repeats.min() <= 1


def test_balanced_windows_are_drawn_anew_in_each_epoch_and_by_the_seed():
    windows = uneven()
    drawn = [windows.training_tiles(seed=seed, epoch=epoch, balanced=True) for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))]
    first, again, later, other = ([one.basin.tolist(), one.first.tolist()] for one in drawn)
    assert first == again
    assert later != first != other


def test_basins_are_balanced_where_the_recipe_says_so():
    windows, scale = uneven(), setting()[2]
    seen = []
    for balanced in (False, True):
        recipe = Recipe(epochs=1, batch_size=8, validate_every=1, balance_basins=balanced)
        seen.append(len(fit(setting()[0], windows, recipe, scale=scale)))
    tiles = [windows.training_tiles(seed=0, epoch=0, balanced=balanced) for balanced in (False, True)]
    assert seen == [-(-len(one) // 8) for one in tiles]
    assert seen[1] > seen[0]
