import errno
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from safetensors.torch import save_file

from runoff_lstm import files
from runoff_lstm.data.readers import read_netcdf
from runoff_lstm.errors import InputError
from runoff_lstm.files import expand_path, folder_name, literal_path, locked, new_folder, remove_parts, write_csv, written_whole
from runoff_lstm.runs.folder import check_new_folder

on_unix = pytest.mark.skipif(os.name != "posix", reason="rights and locks of Unix")


def fail_halfway(path, error):
    with written_whole(path) as part:
        part.write_text("ne")
        raise error


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def test_the_file_is_there_only_when_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    with written_whole(path) as part:
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error")])
def test_a_full_disk_leaves_the_old_file_and_one_sentence(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(InputError, match=r"could not be written .* make room"):
        fail_halfway(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interrupt_or_another_fault_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error):
        fail_halfway(path, error())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"), written_whole(tmp_path / "nowhere" / "table.csv") as part:
        part.write_text("x")


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "o.nc"
    with written_whole(path) as one, written_whole(path) as other:
        assert one != other
        assert one.suffix == other.suffix == ".nc"
        one.write_text("one")
        other.write_text("another")
    assert path.read_text() == "one"
    assert names(tmp_path) == ["o.nc"]


@on_unix
def test_no_link_that_lies_in_wait_is_written_through(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("mine")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
    (tmp_path / f".{'0' * 16}.part.nc").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="could not be written"), written_whole(tmp_path / "o.nc") as part:
        part.write_text("x")
    assert (tmp_path / "victim").read_text() == "mine"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    writers = [written_whole(tmp_path / "a.nc"), written_whole(tmp_path / "b")]
    for one in writers:
        one.__enter__()
    (tmp_path / f".{'f' * 16}.part.zarr").mkdir()
    for kept in (".a.part.nc", "a.part.nc", ".hidden", "checkpoint.pt"):
        (tmp_path / kept).touch()
    remove_parts(tmp_path)
    assert names(tmp_path) == [".a.part.nc", ".hidden", "a.part.nc", "checkpoint.pt"]


WRITERS = {
    "weights.safetensors": lambda part: save_file({"a": torch.ones(2)}, part),
    "checkpoint.pt": lambda part: torch.save({"a": torch.ones(2)}, part),
    "picture.png": lambda part: Figure().savefig(part, format="png"),
    "settings.toml": lambda part: part.write_text("a = 1"),
}


@on_unix
@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_every_file_and_folder_has_the_rights_of_the_umask(tmp_path, basins, umask, rights):
    before = os.umask(umask)
    try:
        folder = new_folder(tmp_path / "runs" / "leaf")
        for name, write in WRITERS.items():
            with written_whole(folder / name) as part:
                write(part)
        write_csv(basins["leak"].to_dataframe(), folder / "table.csv")
        files.write_netcdf(basins, folder / "data.nc")
    finally:
        os.umask(before)
    found = {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir()}
    assert found == dict.fromkeys([*WRITERS, "table.csv", "data.nc"], rights)
    assert {one.stat().st_mode & 0o777 for one in (folder, folder.parent)} == {0o777 & ~umask}


def hold(folder, ready, end):
    with locked(folder):
        ready.set()
        end.wait()


@on_unix
def test_a_folder_is_held_by_one_process_until_that_ends_or_is_killed(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    ready, end = spawn.Event(), spawn.Event()
    holder = spawn.Process(target=hold, args=(tmp_path, ready, end))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(InputError, match="is in use by another train or resume; wait for its end, or choose another --run-dir"):
        hold(tmp_path, threading.Event(), end)
    holder.kill()
    holder.join()
    with locked(tmp_path):
        assert names(tmp_path) == [".lock"]
    assert names(tmp_path) == []


@on_unix
def test_many_that_want_a_folder_at_once_get_it_one_at_a_time(tmp_path):
    inside, most, refused = [], [], []

    def want():
        for _ in range(200):
            try:
                with locked(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except InputError:
                refused.append(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(most) + len(refused) == 1600
    assert max(most) == 1


def test_folders_begun_at_once_never_collide(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(new_folder(tmp_path / "runs" / "leaf"))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.name for one in made) == names(tmp_path / "runs") == ["leaf", *(f"leaf-{number}" for number in range(2, 9))]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        new_folder(tmp_path / "file" / "leaf")


HOSTILE = [
    *(
        "../../escaped",
        "/etc/passwd",
        "..",
        ".",
        "...",
        "",
        "   ",
        "\t",
        "a\nb",
        "nul\0name",
        "\x1b[2J",
        "C:\\x",
        "a\\b",
        "~",
        "~root",
    ),
    *("con", "NUL.txt", "Com1", "trailing.", "trailing  ", "-rf", "--help", "a:b", "a|b", "<a>", 'a"b', "a?*", "\ud800", "ä" * 300),
    *("x" * 10_000, "[/red]", "$HOME", "${x}", "%PATH%", "a/../b", "\u2028", "name\r", "\x85", ".hidden"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_name_makes_one_folder_below_and_nothing_elsewhere(tmp_path, text):
    _makes_one_folder(tmp_path, text)


@given(st.text())
def test_any_text_makes_one_folder(tmp_path_factory, text):
    _makes_one_folder(tmp_path_factory.mktemp("names"), text)


def _makes_one_folder(parent, text):
    made = new_folder(parent / "inside" / f"{folder_name(text)}-20000101-000000")
    assert made.parent == made.resolve().parent == parent / "inside"
    assert names(parent) == ["inside"]
    assert names(parent / "inside") == [made.name]
    assert made.name.isprintable()
    assert not set(made.name) & set('<>:"/\\|?*')
    assert made.name[0] not in ".-~ "
    assert len(os.fsencode(made.name)) < 150
    made.rmdir()


def test_names_that_windows_keeps_for_devices_are_changed():
    assert [folder_name(name) for name in ("con", "NUL.txt", "console")] == ["run-con", "run-NUL.txt", "console"]


@pytest.mark.parametrize("name", ["a$b", "$HOME", "${HOME}", "$$", "a$", "plain", "it's", 'say "x"'])
def test_a_path_that_a_run_wrote_is_read_as_the_same_path(tmp_path, name):
    assert expand_path(literal_path(tmp_path / name), Path("/nowhere")) == tmp_path / name


def test_a_path_of_a_config_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_OF_MINE", str(tmp_path))
    for text in ("$DATA_OF_MINE/a.nc", "${DATA_OF_MINE}/a.nc", "a.nc", "./b/../a.nc"):
        assert expand_path(text, tmp_path) == tmp_path / "a.nc"
    monkeypatch.delenv("DATA_OF_MINE")
    with pytest.raises(
        InputError, match=r"variable DATA_OF_MINE, which is not set; set it with export DATA_OF_MINE=.*, or write \$\$"
    ):
        expand_path("$DATA_OF_MINE/a.nc", tmp_path)


@pytest.mark.parametrize("text", ["a\0b", "~nobody-of-this-name/x"])
def test_a_path_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="cannot be read"):
        expand_path(text, tmp_path)


@on_unix
def test_a_backslash_that_netcdf_takes_for_a_folder_is_refused_before_any_work(tmp_path, basins, periods):
    folder = tmp_path / "a\\b"
    folder.mkdir()
    calls = [
        lambda: files.write_netcdf(basins, folder / "data.nc"),
        lambda: files.check_target(folder / "data.nc", endings=[".nc"]),
        lambda: check_new_folder(folder / "run"),
    ]
    (folder / "there.nc").touch()
    for call in [*calls, lambda: read_netcdf(folder / "there.nc")]:
        with pytest.raises(InputError, match="netCDF neither reads nor writes where a path has a backslash"):
            call()
    assert names(folder) == ["there.nc"]
