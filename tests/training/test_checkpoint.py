import pickle

import pytest
import torch

from runoff_lstm.errors import InputError
from runoff_lstm.training.checkpoint import FORMAT, TrainingState, random_state, read_checkpoint, set_random_state, write_checkpoint


def test_a_state_comes_back_as_it_was(tmp_path):
    state = TrainingState(
        asked={"steps": 3}, data=17, update=2, weights={"w": torch.arange(3.0)}, history=[[1, 2.0]], best_score=0.5
    )
    write_checkpoint(state, tmp_path / "checkpoint.pt")
    again = read_checkpoint(tmp_path / "checkpoint.pt")
    assert torch.equal(again.weights.pop("w"), state.weights.pop("w"))
    assert again == state


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_refused(tmp_path, kept):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(TrainingState(asked={}, data=0, weights={"w": torch.zeros(1000)}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(InputError, match="not a whole checkpoint"):
        read_checkpoint(path)


def test_a_foreign_file_is_refused_and_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    torch.save({"format": FORMAT, "something": "else"}, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("evil.pt", "other.pt", "list.pt"):
        with pytest.raises(InputError, match="not a whole checkpoint"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "run").exists()


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(InputError, match="stopped before its first checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_another_versions_checkpoint_is_told(tmp_path):
    torch.save({"format": 99}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="another version"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_the_generator_of_a_device_is_kept_with_that_of_the_cpu(monkeypatch):
    kept = torch.arange(3)
    for generator in (torch.cuda, torch.mps):
        monkeypatch.setattr(generator, "get_rng_state", lambda *_: kept)
        monkeypatch.setattr(generator, "set_rng_state", lambda state, *_: taken.append(state))
    for name in ("cuda", "mps"):
        taken = []
        states = random_state(torch.device(name))
        expected = torch.rand(3)
        set_random_state(states, torch.device(name))
        assert taken[0] is kept
        assert torch.equal(torch.rand(3), expected)
