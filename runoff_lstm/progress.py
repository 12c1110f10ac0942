"""From the progress of a training to a bar on the terminal: rate, loss, validation NSE and time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runoff_lstm.fitting import Progress


@contextmanager
def training_bar(label: str, *, show: bool) -> Iterator[Callable[[Progress], None]]:
    """A progress bar while it lasts; the function it yields takes each `Progress`. With `show=False` nothing is drawn."""
    if not show:
        yield lambda _: None
        return
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("update {task.fields[update]}, {task.fields[rate]}, loss {task.fields[loss]}, NSE {task.fields[nse]}"),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, transient=False) as bar:
        task = bar.add_task(label, total=1.0, update=0, rate="-- /s", loss="--", nse="--")

        before: list[int] = []

        def show_progress(progress: Progress) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            before.append(progress.update - 1)
            rate = f"{(progress.update - before[0]) / elapsed:.1f} /s" if elapsed > 0 else "-- /s"
            nse = "--" if progress.validation_nse != progress.validation_nse else f"{progress.validation_nse:.3f}"
            bar.update(task, completed=progress.share, update=progress.update, rate=rate, loss=f"{progress.loss:.3f}", nse=nse)

        yield show_progress
        bar.update(task, completed=1.0)
