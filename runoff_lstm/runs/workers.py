"""From jobs to processes side by side, one a job: what they report, what they refuse, and their death, whenever it comes.

A process gets its job by a pipe, so that the death of either end closes it: the parent then says which job has died, and a process
whose parent is gone ends. The script that started the parent is not run again. The data all jobs share are written once to a file,
bytes as they are, and mapped into the memory of every process.
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
"""Bytes on whose multiples every array begins in the file of the shared data."""

Report = Callable[[Any], None]
Job = Callable[..., None]
"""A function of a module, called with its label, the shared data, what is asked of it, and a function that takes its reports."""


def run_beside(
    job: Job,
    asked: Mapping[str, Any],
    shared: Any,
    *,
    scratch: Path,
    workers: int,
    observe: Callable[[str, Any], None],
) -> None:
    """Run a job for every label, each in a process of its own; none of them outlives this one.

    Parameters
    ----------
    job
        See `Job`.
    asked
        What is asked of each job, by its label.
    shared
        Data for all of them, such as a Dataset in memory.
    scratch
        The file of the shared data, which is removed at the end.
    workers
        Processes at a time.
    observe
        Told the label and the report.

    Raises
    ------
    InputError
        As a job has raised it.
    ChildProcessError
        A process cannot start, has died, or its job has raised anything else.
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
                process.kill()  # what a job writes is whole at any moment
            for process in running.values():
                _end(process)


def check_ended(label: str, code: int) -> None:
    """Refuse an exit code that is not that of a job done."""
    if code:
        raise ChildProcessError(
            f"{label} was ended from outside or by a fault (exit code {code}); if memory was short, take fewer workers, and resume"
        )


def _start(label: str, inbox: "queue.SimpleQueue[tuple[str, Any]]") -> "subprocess.Popen[bytes]":
    """A new process, in a group of its own so that an interrupt at the terminal reaches the parent alone."""
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
    """Send a process its job; the pipe then stays open until this process ends."""
    packed = pickle.dumps(order)
    if process.stdin is not None:
        with suppress(OSError):  # it has died already, which is noticed by what it no longer says
            process.stdin.write(b"".join(len(part).to_bytes(8, "big") + part for part in (os.fsencode(scratch), packed)))
            process.stdin.flush()


def _end(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process that ends by itself; only then its pipe is closed, which would end it."""
    code = process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    return code


def _listen(label: str, stream: IO[bytes], inbox: "queue.SimpleQueue[tuple[str, Any]]") -> None:
    """Put what a process says into the inbox, and None at its end, in the middle of a message or not."""
    try:
        with stream:
            while True:
                inbox.put((label, pickle.load(stream)))
    except Exception:
        inbox.put((label, None))


@dataclass(frozen=True)
class _Shared:
    """An object whose arrays lie in a file: the places of their bytes there, and the rest of it, pickled."""

    path: Path
    places: tuple[tuple[int, int], ...]
    rest: bytes

    def load(self) -> Any:
        """The object, its arrays mapped from the file: read when they are needed, and private where they are written to."""
        with self.path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        return pickle.loads(self.rest, buffers=[content[start : start + size] for start, size in self.places])


@contextmanager
def _shared(value: Any, path: Path) -> Iterator[_Shared]:
    """Write the arrays of an object to a file that is there while the block lasts."""
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    try:
        with path.open("xb") as file:
            for buffer in buffers:
                places.append((file.tell(), buffer.raw().nbytes))
                file.write(buffer.raw())
                file.write(bytes(-file.tell() % _ALIGNED))
            file.write(bytes(_ALIGNED))  # no file without a byte can be mapped
        yield _Shared(path, tuple(places), rest)
    finally:
        path.unlink(missing_ok=True)


class _Messenger:
    """Sends the reports of a job, not too often, and its last one in any case."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.sent, self.latest = stream, 0.0, None

    def __call__(self, report: Any) -> None:
        self.latest = report
        if time.monotonic() - self.sent > REPORT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Send the latest report, if it was not sent."""
        if self.latest is not None:
            self.send(self.latest)
        self.latest, self.sent = None, time.monotonic()

    def send(self, message: Any) -> None:
        pickle.dump(message, self.stream)
        self.stream.flush()


def main() -> None:
    """The process of one job."""
    orders, stream = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no message
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
    """An exception that any process can read: of an InputError its sentence, of others what they are, and where they come from."""
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
    """End this process when its parent does, however that ends: the pipe is then closed."""
    while os.read(0, 1):
        pass
    with suppress(OSError):
        scratch.unlink()
    os._exit(1)
