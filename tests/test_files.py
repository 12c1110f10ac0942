import errno

import pytest

from runoff_lstm.files import written_whole
from runoff_lstm.schema import InputError


def fail_halfway(path, error):
    with written_whole(path) as part:
        part.write_text("ne")
        raise error


def test_the_file_is_there_only_when_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    with written_whole(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error")])
def test_a_full_disk_leaves_the_old_file_and_one_sentence(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(InputError, match=r"could not be written .* make room"):
        fail_halfway(path, error)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


def test_an_interrupt_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        fail_halfway(path, KeyboardInterrupt())
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"), written_whole(tmp_path / "nowhere" / "table.csv") as part:
        part.write_text("x")
