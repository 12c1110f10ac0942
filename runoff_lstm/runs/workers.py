"""Run jobs in parallel processes, one per job; collect their reports, errors and exits.

Each process receives its job through a pipe, which closes when either end exits. The parent then raises an error that names the
failed job, and a process without parent exits. The script that started the parent is not run again. Data shared by all jobs are
written once to a file, as raw bytes, and memory-mapped by every process.
"""

import mmap
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

REPORT_EVERY = 0.5
"""Seconds between two reports of a job."""

_ALIGNED = 64
"""Alignment in bytes of every array in the file of shared data."""

Report = Callable[[Any], None]
Job = Callable[..., None]
"""A module-level function, called with its label, the shared data, its arguments and a function that takes its reports."""


def run_beside(
    job: Job,
    asked: Mapping[str, Any],
    shared: Any,
    *,
    scratch: Path,
    workers: int,
    observe: Callable[[str, Any], None],
) -> None:
    """Run one process per job; end all of them on return or error.

    Parameters
    ----------
    job
        See `Job`.
    asked
        Arguments of each job, by label.
    shared
        Data for all jobs, such as a Dataset in memory.
    scratch
        File for the shared data, removed at the end.
    workers
        Maximum number of processes at a time.
    observe
        Called with the label and the report.

    Raises
    ------
    InputError
        Raised by a job.
    ChildProcessError
        A process cannot start or was killed, or its job raised any other exception.
    """
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    waiting = list(asked)
    running: dict[str, subprocess.Popen[bytes]] = {}
    with _shared(shared, scratch) as data:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    label = waiting.pop(0)
                    running[label] = _start(label, inbox)
                    _send(running[label], data.path, (job, label, data, asked[label]))
                label, told = inbox.get()
                if isinstance(told, ChildProcessError):
                    raise ChildProcessError(f"{label}: {told}") from told
                if isinstance(told, Exception):
                    raise told
                if told is None:
                    check_ended(label, _end(running.pop(label)))
                else:
                    observe(label, told)
        finally:
            for process in running.values():
                process.kill()  # safe: every file of a job is written whole or not at all
            for process in running.values():
                _end(process)


def check_ended(label: str, code: int) -> None:
    """Raise an error for a nonzero exit code."""
    if code:
        raise ChildProcessError(
            f"{label} was ended from outside or by a fault (exit code {code}); if memory was short, take fewer workers, and resume"
        )


def _start(label: str, inbox: "queue.SimpleQueue[tuple[str, Any]]") -> "subprocess.Popen[bytes]":
    """Start a process in a separate group: an interrupt at the terminal then reaches the parent alone."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from runoff_lstm.runs.workers import main; main()"
    apart: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **apart)
    except OSError as error:
        raise ChildProcessError(f"{label} could not be started ({error}); take fewer workers, and resume") from None
    threading.Thread(target=_listen, args=(label, process.stdout, inbox), daemon=True).start()
    return process


def _send(process: "subprocess.Popen[bytes]", scratch: Path, order: Any) -> None:
    """Send a process its job; the pipe stays open until this process ends."""
    packed = pickle.dumps(order)
    if process.stdin is not None:
        with suppress(OSError):  # already exited; `_listen` reports the closed pipe
            process.stdin.write(b"".join(len(part).to_bytes(8, "big") + part for part in (os.fsencode(scratch), packed)))
            process.stdin.flush()


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process and return its exit code.

    Close the pipe afterwards, as closing it ends the process.
    """
    code = process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    return code


def _listen(label: str, stream: IO[bytes], inbox: "queue.SimpleQueue[tuple[str, Any]]") -> None:
    """Put the messages of a process into the inbox, then None at its end, even within a message."""
    try:
        with stream:
            while True:
                inbox.put((label, pickle.load(stream)))
    except Exception:
        inbox.put((label, None))


@dataclass(frozen=True)
class _Shared:
    """An object with its arrays in a file: byte ranges of the arrays, and the remaining object, pickled."""

    path: Path
    places: tuple[tuple[int, int], ...]
    rest: bytes

    def load(self) -> Any:
        """Load the object with memory-mapped arrays: read on access, copied on write."""
        with self.path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.rest, buffers=[content[start : start + size] for start, size in self.places])


@contextmanager
def _shared(value: Any, path: Path) -> Iterator[_Shared]:
    """Write the arrays of an object to a file for the duration of the block."""
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    try:
        with path.open("xb") as file:
            for buffer in buffers:
                places.append((file.tell(), buffer.raw().nbytes))
                file.write(buffer.raw())
                file.write(bytes(-file.tell() % _ALIGNED))
            file.write(bytes(_ALIGNED))  # an empty file cannot be mapped
        yield _Shared(path, tuple(places), rest)
    finally:
        path.unlink(missing_ok=True)


class _Messenger:
    """Sender of the reports of a job: limited in rate, with the last report always sent."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.sent, self.latest = stream, 0.0, None

    def __call__(self, report: Any) -> None:
        self.latest = report
        if time.monotonic() - self.sent > REPORT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Send the latest report unless it was sent already."""
        if self.latest is not None:
            self.send(self.latest)
        self.latest, self.sent = None, time.monotonic()

    def send(self, message: Any) -> None:
        pickle.dump(message, self.stream)
        self.stream.flush()


def main() -> None:
    """Run one job in this process."""
    orders, stream = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # printed text must not reach the message stream
    place, packed = (orders.read(int.from_bytes(orders.read(8), "big")) for _ in range(2))
    threading.Thread(target=_end_with_parent, args=(Path(os.fsdecode(place)),), daemon=True).start()
    messenger = _Messenger(stream)
    try:
        job, label, data, asked = pickle.loads(packed)
        warnings.showwarning = lambda message, *_, **__: print(f"note: {label}: {message}", file=sys.stderr)
        job(label, data.load(), asked, messenger)
        messenger.flush()
    except Exception as error:
        with suppress(OSError):  # the parent is gone
            messenger.send(_plain(error))


def _plain(error: Exception) -> Exception:
    """Convert an exception to one that any process can unpickle.

    An InputError keeps its message. Others become a ChildProcessError with their type and message. A note holds the traceback.
    """
    from runoff_lstm.errors import InputError

    if isinstance(error, InputError):
        plain: Exception = type(error)(str(error))
    else:
        plain = ChildProcessError(
            f"failed with {type(error).__name__} ({error}); correct that, or take fewer workers if memory was short, and resume"
        )
    plain.add_note("".join(traceback.format_exception(error)))
    return plain


def _end_with_parent(scratch: Path) -> None:
    """End this process when the pipe to its parent closes."""
    while os.read(0, 1):
        pass
    with suppress(OSError):
        scratch.unlink()
    os._exit(1)
