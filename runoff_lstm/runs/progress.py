"""Progress bars on the terminal for reading and training: rate, loss, validation NSE and time left."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from runoff_lstm.training.recipe import Progress


@contextmanager
def training_bar(label: str, *, show: bool) -> Iterator[Callable[[Progress], None]]:
    """Draw a progress bar of one training.

    Yields a function that takes each `Progress`. With `show=False` nothing is drawn.
    """
    with training_bars([label], show=show) as observe:
        yield lambda progress: observe(label, progress)


@contextmanager
def training_bars(labels: Sequence[str], *, show: bool) -> Iterator[Callable[[str, Progress], None]]:
    """Draw a progress bar for each training.

    Yields a function that takes the label of a training and its `Progress`.
    """
    if not show:
        yield lambda _, __: None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.TextColumn("update {task.fields[update]}, {task.fields[rate]}, loss {task.fields[loss]}, NSE {task.fields[nse]}"),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, transient=False) as bar:
        blank: dict[str, Any] = {"update": 0, "rate": "-- /s", "loss": "--", "nse": "--"}
        tasks = {label: bar.add_task(label, total=1.0, start=len(labels) == 1, **blank) for label in labels}
        before: dict[str, int] = {}

        def show_progress(label: str, progress: Progress) -> None:
            if label not in before:
                bar.start_task(tasks[label])
                before[label] = progress.update - 1
            elapsed = bar.tasks[tasks[label]].elapsed or 0.0
            rate = f"{(progress.update - before[label]) / elapsed:.1f} /s" if elapsed > 0 else "-- /s"
            nse = "--" if progress.validation_nse != progress.validation_nse else f"{progress.validation_nse:.3f}"
            bar.update(
                tasks[label], completed=progress.share, update=progress.update, rate=rate, loss=f"{progress.loss:.3f}", nse=nse
            )

        yield show_progress
        for task in tasks.values():
            bar.update(task, completed=1.0)


@contextmanager
def reading_bar(label: str, *, show: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Draw a progress bar of a reader of many files.

    Yields a function that takes the number of files read and the total.
    """
    if not show:
        yield None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
