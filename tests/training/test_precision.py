from dataclasses import replace

import pandas as pd
import pytest
import torch

from runoff_lstm.inputs import device as precision
from runoff_lstm.inputs.device import products_in, resolve_precision
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

CPU = torch.device("cpu")


@pytest.fixture
def _without_bfloat16(monkeypatch):
    """As on a CPU for which torch has no LSTM in bfloat16."""

    def refuse(*_):
        raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")

    precision._has_bfloat16.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.LSTM, "forward", refuse)
        assert resolve_precision("bfloat16", CPU) == "float32"
    yield
    precision._has_bfloat16.cache_clear()


@pytest.mark.usefixtures("_without_bfloat16")
def test_where_there_is_no_bfloat16_all_is_done_in_float32_and_told_once(basins, periods, caplog):
    recipe = Recipe(steps=20, batch_size=8, validate_every=10)
    exact, asked = (
        train(
            basins,
            periods=periods,
            inputs=Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30),
            recipe=replace(recipe, precision=one),
            architecture=Architecture(hidden_sizes=(8,)),
            device="cpu",
        )
        for one in ("float32", "bfloat16")
    )
    pd.testing.assert_frame_equal(exact.history.drop(columns="seconds"), asked.history.drop(columns="seconds"))
    assert resolve_precision("bfloat16", CPU) == "float32"
    told = [one.message for one in caplog.get_records("setup") + caplog.records if "bfloat16" in one.message]
    assert told == ["this cpu has no bfloat16: float32 is used instead, which is more exact and takes longer"]


def test_where_there_is_bfloat16_products_are_taken_in_it(monkeypatch):
    monkeypatch.setattr(precision, "_has_bfloat16", lambda _: True)
    one = torch.ones(2, 2)
    with products_in("bfloat16", CPU):
        assert (one @ one).dtype == torch.bfloat16
    with products_in("float32", CPU):
        assert (one @ one).dtype == torch.float32
