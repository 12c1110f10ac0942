"""The command line: the only place where all parts meet. Each command ends well, or with one clear sentence and an exit code."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from runoff_lstm.run_folder import Run, Scores

app = typer.Typer(
    name="runoff-lstm",
    help="From a catchment's files to a scored and trusted discharge simulation by an LSTM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no table.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, mps or auto.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Take the place of a value of the config: training.steps=500")]
RunDir = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Experiment file (TOML).", show_default=False)],
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="Where to; default: runs/<name>-<timestamp>.")] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int | None, typer.Option("--seed", help="In place of the config's.")] = None,
    overrides: Overrides = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train, score the test period, draw it, and leave a run folder."""
    with _one_sentence(debug=debug):
        from runoff_lstm.experiment import read_experiment
        from runoff_lstm.run_folder import default_folder, train_run

        settings = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
        experiment = read_experiment(config, overrides=settings)
        folder = run_dir or default_folder(experiment.name)
        dataset = _read(experiment.data, quiet=quiet)
        with _resumable(folder):
            run = train_run(folder, dataset, **experiment.arguments(), device=_device(device), show_progress=not quiet)
        _show_run(run, quiet=quiet)


@app.command()
def resume(run_dir: RunDir, device: DeviceOption = "auto", *, quiet: Quiet = False, debug: Debug = False) -> None:
    """Go on with a run that was stopped, to the very result it would have had."""
    with _one_sentence(debug=debug):
        from runoff_lstm.run_folder import train_run

        experiment = _experiment_of(run_dir)
        dataset = _read(experiment.data, quiet=quiet)
        with _resumable(run_dir):
            run = train_run(
                run_dir, dataset, **experiment.arguments(), device=_device(device), resume=True, show_progress=not quiet
            )
        _show_run(run, quiet=quiet)


@app.command()
def evaluate(
    run_dir: RunDir,
    period: Annotated[str, typer.Option("--period", help="test, validation or train.")] = "test",
    device: DeviceOption = "auto",
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate and score a period of a finished run; writes <period>_metrics.csv and the like into its folder."""
    with _one_sentence(debug=debug):
        from runoff_lstm.bundle import load_model
        from runoff_lstm.run_folder import evaluate_run
        from runoff_lstm.training import resolve_device

        experiment = _experiment_of(run_dir)
        model = load_model(run_dir / "model.safetensors", device=resolve_device(_device(device)))
        arguments = experiment.arguments()
        scores = evaluate_run(
            run_dir,
            model,
            _read(experiment.data, quiet=quiet),
            name=experiment.name,
            periods=arguments["periods"],
            period_name=period,
            metrics=arguments["metrics"],
        )
        if not quiet:
            _show_scores(scores, f"{experiment.name}, {period} period")


@app.command()
def simulate(
    model: Annotated[Path, typer.Argument(help="A model.safetensors.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="netCDF file, Zarr store, CSV file or folder of CSV files.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="netCDF file to write.", show_default=False)],
    mode: Annotated[str, typer.Option("--mode", help="windows (as trained) or continuous (one pass, state kept).")] = "windows",
    unit: Annotated[list[str] | None, typer.Option("--unit", help='Unit of a variable: precipitation="mm d-1"')] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", help="Name in the data: precipitation=P")] = None,
    mc_samples: Annotated[
        int | None, typer.Option("--mc-samples", help="So many members, with the dropout of the training kept on.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the dropout masks of --mc-samples.")] = 0,
    device: DeviceOption = "auto",
    *,
    debug: Debug = False,
) -> None:
    """Simulate discharge from forcing; observations are not needed."""
    with _one_sentence(debug=debug):
        from runoff_lstm.bundle import load_model
        from runoff_lstm.files import written_whole
        from runoff_lstm.readers import READERS
        from runoff_lstm.schema import InputError
        from runoff_lstm.training import resolve_device

        if mode not in ("windows", "continuous"):
            raise InputError(f"--mode {mode}: choose windows or continuous")
        trained = load_model(model, device=resolve_device(_device(device)))
        wanted = [*trained.forcing, *trained.static_attributes]
        reader = READERS[_source_of(data)]
        dataset = reader(data, variables=wanted, units=_pairs(unit, "--unit"), rename=_pairs(rename, "--rename"))
        simulated = trained.simulate(
            dataset, mode="windows" if mode == "windows" else "continuous", mc_samples=mc_samples, seed=seed
        )
        with written_whole(out) as part:
            simulated.assign_attrs(Conventions="CF-1.11", featureType="timeSeries").to_netcdf(part)
        members = "" if mc_samples is None else f"{mc_samples} member(s), "
        steps = int(simulated["simulated"].notnull().sum()) // (mc_samples or 1)
        typer.echo(f"{out}: {members}{simulated.sizes['basin']} basin(s), {steps} simulated steps")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="netcdf, zarr or csv.", show_default=False)],
    path: Annotated[Path, typer.Argument(help="The data.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="netCDF file (.nc) or Zarr store (.zarr) to write.", show_default=False)],
    unit: Annotated[list[str] | None, typer.Option("--unit", help='Unit of a variable: prcp="mm d-1"')] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", help="Name in the data: discharge=QObs")] = None,
    missing: Annotated[list[str] | None, typer.Option("--missing", help="A marker of missing values: ?, -888")] = None,
    area: Annotated[list[str] | None, typer.Option("--area", help="Area of a basin in km2: 01013500=2252.7")] = None,
    *,
    mend_time: Annotated[bool, typer.Option("--mend-time", help="Sort, drop equal duplicates, fill missing rows.")] = False,
    debug: Debug = False,
) -> None:
    """Turn data of any known source into one canonical CF netCDF file or Zarr store."""
    with _one_sentence(debug=debug):
        from runoff_lstm.readers import READERS, write_dataset
        from runoff_lstm.schema import InputError, nearest

        if source not in READERS:
            raise InputError(f"source {source} is not known; {nearest(source, READERS)}")
        areas = {gauge_id: _number(value, "--area") for gauge_id, value in _pairs(area, "--area").items()}
        dataset = READERS[source](
            path,
            units=_pairs(unit, "--unit"),
            rename=_pairs(rename, "--rename"),
            missing=missing or (),
            area_km2=areas or None,
            mend_time=mend_time,
        )
        write_dataset(dataset, out)
        typer.echo(
            f"{out}: {dataset.sizes['basin']} basin(s), {dataset.sizes['time']} steps, {', '.join(map(str, dataset.data_vars))}"
        )


def main() -> None:
    """Entry point of the command `runoff-lstm`."""
    app()


@contextmanager
def _one_sentence(*, debug: bool) -> Iterator[None]:
    """Turn an error of the user's making into one sentence on stderr and exit code 1; an interrupt into exit code 130."""
    from runoff_lstm.schema import InputError

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"note: {message}", err=True)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(130) from None
    except (InputError, OSError, MemoryError) as error:
        if debug:
            raise
        text = str(error) or type(error).__name__
        typer.echo(f"error: {text}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """After an interrupt, say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "checkpoint.pt").exists():
            typer.echo(f"\nstopped; go on with: runoff-lstm resume {folder}", err=True)
        raise


def _read(data: Any, *, quiet: bool) -> Any:
    """The dataset of an experiment's data section."""
    from runoff_lstm.readers import READERS

    logging.getLogger("runoff_lstm").setLevel(logging.WARNING if quiet else logging.INFO)
    return READERS[data.source](data.path, **data.reader_arguments())


def _experiment_of(run_dir: Path) -> Any:
    from runoff_lstm.experiment import read_experiment
    from runoff_lstm.schema import InputError

    if not (run_dir / "experiment.toml").is_file():
        raise InputError(f"{run_dir} is not a run folder: it has no experiment.toml; give the folder that train has written")
    return read_experiment(run_dir / "experiment.toml")


def _device(name: str) -> Any:
    from runoff_lstm.schema import InputError

    if name not in ("auto", "cpu", "cuda", "mps"):
        raise InputError(f"--device {name}: choose auto, cpu, cuda or mps")
    return name


def _source_of(path: Path) -> str:
    if path.is_dir():
        zarr = any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
        return "zarr" if zarr else "csv"
    return "csv" if path.suffix.lower() == ".csv" else "netcdf"


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    """'name=value' texts as a dict."""
    from runoff_lstm.schema import InputError

    for value in values or []:
        if "=" not in value:
            raise InputError(f"{option} {value}: write it as name=value")
    return {one.partition("=")[0].strip(): one.partition("=")[2].strip().strip('"') for one in values or []}


def _number(text: str, option: str) -> float:
    from runoff_lstm.schema import InputError

    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} {text}: not a number") from None


def _show_run(run: "Run", *, quiet: bool) -> None:
    if quiet:
        return
    for period, sums in run.coverage.groupby("period", sort=False).sum(numeric_only=True).iterrows():
        left_out = f"{sums['without_history']} without enough history, {sums['without_discharge']} without discharge"
        typer.echo(f"{period}: {sums['used']} of {sums['steps']} steps used ({left_out})")
    if run.scores is not None:
        _show_scores(run.scores, f"{run.name}, test period")
    typer.echo(f"run folder: {os.path.relpath(run.path)}")


def _show_scores(scores: "Scores", title: str) -> None:
    """One table, a row a metric: the model beside its yardsticks; over many basins their medians."""
    from rich.console import Console
    from rich.table import Table

    columns = {"model": scores.metrics}
    columns |= {str(name): table.drop(columns="yardstick") for name, table in scores.yardsticks.groupby("yardstick")}
    basins = len(scores.metrics)
    table = Table(title=title if basins == 1 else f"{title}, median of {basins} basins")
    for heading in ("", *columns):
        table.add_column(heading, justify="right" if heading else "left", max_width=22)
    for metric in map(str, scores.metrics.columns):
        table.add_row(metric, *(_figure(values[metric], metric) for values in columns.values()))
    Console().print(table)


def _figure(values: "pd.Series[float]", metric: str) -> str:
    if values.isna().all():
        return "--"
    return f"{values.median():.0f}" if metric == "days" else f"{values.median() + 0.0:.3f}"


if __name__ == "__main__":
    main()
