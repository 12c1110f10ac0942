"""The command line: the only place where all parts meet. Each command ends well, or with one clear sentence and an exit code."""

import json
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

import runoff_lstm
from runoff_lstm.runs.tables import show_inventory, show_many, show_run, show_scores


class _Commands(typer.core.TyperGroup):
    """The list of commands with the whole sentence of each, where click would cut it at the end of the line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in commands.items() if command is not None])


class _WithSources(typer.core.TyperCommand):
    """A command whose help names the sources there are; they are imported only to show it, so that other commands begin quickly."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from runoff_lstm.data.readers import SOURCES

        for parameter in self.params:
            if parameter.name == "source":
                parameter.help = "; ".join(f"{name}: {source.help}" for name, source in SOURCES.items())  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


app = typer.Typer(
    name="runoff-lstm",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # else rich takes words in brackets, such as [walk_forward], for markup
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        typer.echo(f"runoff-lstm {runoff_lstm.__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """From a catchment's files to a scored and trusted discharge simulation by an LSTM."""


Debug = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar, no table.")]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, mps or auto.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists; never an input.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Take the place of a value of the config: training.steps=500")]
Workers = Annotated[int | None, typer.Option("--workers", help="Runs at a time; default: one a processor, two on a GPU.", min=1)]
SeedOption = Annotated[int | None, typer.Option("--seed", help="In place of the config's.")]
SeedsOption = Annotated[int | None, typer.Option("--seeds", help="An ensemble of so many members, from the seed on.", min=1)]
NewRunDir = Annotated[Path | None, typer.Option("--run-dir", help="Where to; default: runs/<name>-<timestamp>.")]
RunDir = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Experiment file (TOML).", show_default=False)],
    run_dir: NewRunDir = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    seeds: SeedsOption = None,
    start_from: Annotated[Path | None, typer.Option("--start-from", help="A model.safetensors to go on from.")] = None,
    workers: Workers = None,
    overrides: Overrides = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train, score the test period, draw it, and leave a run folder; with seeds or folds, many runs side by side."""
    with _one_sentence(debug=debug):
        from runoff_lstm.experiment import read_experiment
        from runoff_lstm.files import literal_path

        settings = _overrides(overrides, seed=seed, seeds=seeds)
        if start_from is not None:
            settings += [f"fine_tuning.start_from={json.dumps(literal_path(start_from.resolve()), ensure_ascii=False)}"]
        experiment = read_experiment(config, overrides=settings)
        with _run_folder(run_dir, experiment.name) as folder:
            _train(experiment, folder, device=device, workers=workers, resume=False, quiet=quiet)


@app.command()
def resume(
    run_dir: RunDir, device: DeviceOption = "auto", workers: Workers = None, *, quiet: Quiet = False, debug: Debug = False
) -> None:
    """Go on with a run that was stopped, to the very result it would have had."""
    with _one_sentence(debug=debug):
        _train(_experiment_of(run_dir), run_dir, device=device, workers=workers, resume=True, quiet=quiet)


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
        from runoff_lstm.device import resolve_device
        from runoff_lstm.errors import InputError
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.run import split_basins
        from runoff_lstm.runs.scores import evaluate_run

        experiment = _experiment_of(run_dir)
        if experiment.walk_forward is not None:  # its last model may have been fitted to any period
            raise InputError(f"{run_dir} is a walk through the test period, scored already; evaluate a run without [walk_forward]")
        models = load_models(run_dir, device=resolve_device(device))
        arguments = experiment.arguments()
        dataset = _read(experiment, quiet=quiet)
        _, dataset = split_basins(dataset, **{key: arguments[key] for key in ("periods", "inputs", "held_out", "on_missing")})
        chosen = {key: arguments[key] for key in ("name", "periods", "metrics")}
        ungauged = bool(arguments["held_out"])
        scores = evaluate_run(run_dir, models, dataset, period_name=period, ungauged=ungauged, **chosen)
        if not quiet:
            show_scores(scores, f"{experiment.name}, {period} period")


@app.command()
def compare(
    ours: Annotated[Path, typer.Argument(help="A run folder, or a table of scores (CSV).", show_default=False)],
    reference: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    metric: Annotated[str, typer.Option("--metric", help="The column of both, in any letter case.")] = "NSE",
    best: Annotated[float | None, typer.Option("--best", help="Best value of a metric that is not one of ours.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Table of the differences (.csv) or their picture (.png).")
    ] = None,
    *,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Compare a metric basin by basin with another table of scores, with a paired test."""
    with _one_sentence(debug=debug):
        from runoff_lstm.evaluation.comparison import compare_tables
        from runoff_lstm.files import check_target

        if out is not None:
            tables = [path / "test_metrics.csv" if path.is_dir() else path for path in (ours, reference)]
            check_target(out, endings=(".csv", ".png"), inputs=tables, force=force)
        compared = compare_tables(ours, reference, metric, best=best)
        typer.echo(str(compared))
        if out is None:
            return
        if out.suffix == ".csv":
            from runoff_lstm.files import write_csv

            write_csv(compared.values.rename_axis("gauge_id"), out)
        else:
            from runoff_lstm.plots.basins import plot_distribution
            from runoff_lstm.plots.style import write_figure

            names = [ours.stem, reference.stem] if ours.stem != reference.stem else [str(ours), str(reference)]
            curves = dict(zip(names, (compared.values["ours"], compared.values["reference"]), strict=True))
            write_figure(plot_distribution(scores=curves, metric=compared.metric), out)
        typer.echo(f"{out}")


@app.command()
def simulate(  # noqa: PLR0913 - typer makes an option of each
    model: Annotated[
        Path, typer.Argument(help="A model.safetensors, or a run folder: of an ensemble the mean.", show_default=False)
    ],
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
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Simulate discharge from forcing; observations are needed only by a model trained with discharge_lags."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.readers import source_of
        from runoff_lstm.device import resolve_device
        from runoff_lstm.errors import InputError, check_choice
        from runoff_lstm.files import check_target, write_netcdf
        from runoff_lstm.prediction.inference import Mode
        from runoff_lstm.prediction.trained_model import each_warning_once
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.scores import mean_of

        check_choice("mode", mode, get_args(Mode))
        check_target(out, endings=(".nc",), inputs=[data, *_bundles(model)], force=force)
        models = load_models(model, device=resolve_device(device))
        trained = models[0]
        if mc_samples is not None and len(models) > 1:
            raise InputError(f"--mc-samples {mc_samples} is for one model; name one of the {len(models)} members of {model}")
        wanted = [*trained.forcing, *trained.static_attributes, *(["discharge"] if trained.discharge_lags else [])]
        given = {"units": _pairs(unit, "--unit"), "rename": _pairs(rename, "--rename")}
        options = {"variables": wanted, **{name: value for name, value in given.items() if value}}
        dataset = _call_reader(source_of(data), data, options, quiet=False)
        passed: Any = {"mode": mode, "mc_samples": mc_samples, "seed": seed}
        with each_warning_once():
            made = [one.simulate(dataset, **passed) for one in models]
        simulated = made[0].assign(simulated=mean_of([one["simulated"] for one in made]))
        write_netcdf(simulated.assign_attrs(Conventions="CF-1.11", featureType="timeSeries"), out)
        members = "" if mc_samples is None else f"{mc_samples} member(s), "
        steps = int(simulated["simulated"].notnull().sum()) // (mc_samples or 1)
        typer.echo(f"{out}: {members}{simulated.sizes['basin']} basin(s), {steps} simulated steps")


@app.command()
def forecast(  # noqa: PLR0913 - typer makes an option of each
    model: Annotated[
        Path, typer.Argument(help="A model.safetensors, or a run folder: of an ensemble the mean.", show_default=False)
    ],
    data: Annotated[Path, typer.Argument(help="netCDF file, Zarr store, CSV file or folder of CSV files.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="netCDF file to write.", show_default=False)],
    issue_date: Annotated[
        str | None,
        typer.Option(
            "--issue-date",
            help="The last step whose observations are used, such as 2017-05-04; default: the last step with observed discharge.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Forecast from every step after it up to this one too.")] = None,
    unit: Annotated[list[str] | None, typer.Option("--unit", help='Unit of a variable: precipitation="mm d-1"')] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", help="Name in the data: precipitation=P")] = None,
    area: Annotated[list[str] | None, typer.Option("--area", help="Area of a basin in km2: 01013500=2252.7")] = None,
    device: DeviceOption = "auto",
    *,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Forecast discharge from an issue date; of what comes after it only the forecast forcing is used."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.readers import source_of
        from runoff_lstm.data.times import date_label
        from runoff_lstm.device import resolve_device
        from runoff_lstm.files import check_target, write_netcdf
        from runoff_lstm.prediction.forecast import issue_dates
        from runoff_lstm.prediction.trained_model import each_warning_once
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.scores import mean_of

        check_target(out, endings=(".nc",), inputs=[data, *_bundles(model)], force=force)
        models = load_models(model, device=resolve_device(device))
        trained = models[0]
        given = {
            "units": _pairs(unit, "--unit"),
            "rename": _pairs(rename, "--rename"),
            "area_km2": {gauge_id: _number(value, "--area") for gauge_id, value in _pairs(area, "--area").items()},
        }
        wanted = [*trained.forcing, *trained.static_attributes, "discharge"]
        options = {"variables": wanted, **{name: value for name, value in given.items() if value}}
        dataset = _call_reader(source_of(data), data, options, quiet=False)
        period = issue_dates(dataset, issue_date, until)
        with each_warning_once():
            members = [one.forecast(dataset, period=period) for one in models]
        made = members[0].assign(forecast=mean_of([one["forecast"] for one in members]))
        write_netcdf(made, out)
        done = int(made["forecast"].notnull().all("lead_time").sum())
        basins, when = made.sizes["basin"], str(period) if until else date_label(period.start)
        typer.echo(f"{out}: issued {when}, {basins} basin(s), {done} forecast(s) of {trained.lead_times} lead times")


@app.command("walk-forward")
def walk_forward(
    config: Annotated[Path, typer.Argument(help="Experiment file (TOML) with lead_times.", show_default=False)],
    run_dir: NewRunDir = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    seeds: SeedsOption = None,
    workers: Workers = None,
    overrides: Overrides = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train, then let the origin roll through the test period as [walk_forward] says; leaves tables by lead time and pictures."""
    with _one_sentence(debug=debug):
        from runoff_lstm.errors import InputError
        from runoff_lstm.experiment import read_experiment
        from runoff_lstm.runs.walk_forward import check_walked

        experiment = read_experiment(config, overrides=_overrides(overrides, seed=seed, seeds=seeds))
        if not experiment.windows.lead_times:
            raise InputError(f"{config} simulates; set [windows] lead_times, such as lead_times = 7, to forecast")
        check_walked(experiment.arguments()["periods"])
        with _run_folder(run_dir, experiment.name) as folder:
            _train(experiment, folder, device=device, workers=workers, resume=False, quiet=quiet)


@app.command(cls=_WithSources)
def convert(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    source: Annotated[str, typer.Argument(help="Kind of data.", show_default=False)],
    path: Annotated[Path, typer.Argument(help="The data.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="netCDF file (.nc) or Zarr store (.zarr) to write.", show_default=False)],
    unit: Annotated[list[str] | None, typer.Option("--unit", help='Unit of a variable: prcp="mm d-1"')] = None,
    rename: Annotated[list[str] | None, typer.Option("--rename", help="Name in the data: discharge=QObs")] = None,
    missing: Annotated[list[str] | None, typer.Option("--missing", help="A marker of missing values: ?, -888")] = None,
    area: Annotated[list[str] | None, typer.Option("--area", help="Area of a basin in km2: 01013500=2252.7")] = None,
    attributes: Annotated[Path | None, typer.Option("--attributes", help="Table of attributes, or a folder of tables.")] = None,
    product: Annotated[
        list[str] | None, typer.Option("--product", help="camels_us: daymet, maurer, maurer_extended, nldas.")
    ] = None,
    gauge_ids: Annotated[Path | None, typer.Option("--gauge-ids", help="Text file: the basins to convert, an id a line.")] = None,
    on_missing: Annotated[str, typer.Option("--on-missing", help="refuse or skip basins with missing files.")] = "refuse",
    *,
    mend_time: Annotated[bool, typer.Option("--mend-time", help="Sort, drop equal duplicates, fill missing rows.")] = False,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Turn data of any known source into one canonical CF netCDF file or Zarr store; <out>.basins.csv says what was found."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.inventory import inventory
        from runoff_lstm.data.readers import SOURCES, WRITTEN, write_dataset
        from runoff_lstm.errors import InputError, check_choice
        from runoff_lstm.files import check_target, write_csv

        check_choice("source", source, SOURCES)
        table, inputs = out.with_name(f"{out.name}.basins.csv"), [one for one in (path, attributes, gauge_ids) if one is not None]
        check_target(out, endings=WRITTEN, inputs=inputs, force=force)
        check_target(table, endings=(".csv",), inputs=inputs, force=force)
        given = {
            "units": _pairs(unit, "--unit"),
            "rename": _pairs(rename, "--rename"),
            "missing": missing,
            "area_km2": {gauge_id: _number(value, "--area") for gauge_id, value in _pairs(area, "--area").items()},
            "attributes": attributes,
            "products": product,
            "mend_time": mend_time,
        }
        options = {name: value for name, value in given.items() if value}
        for name in options:
            if name not in SOURCES[source].options:
                raise InputError(f"{name} says nothing to source {source}; leave it out")
        if gauge_ids is not None and not gauge_ids.is_file():
            raise InputError(f"--gauge-ids {gauge_ids} is not there; give a text file with one id a line")
        if gauge_ids is not None:
            options["gauge_ids"] = [line.strip() for line in gauge_ids.read_text().splitlines() if line.strip()]
        dataset = _call_reader(source, path, {**options, "on_missing": on_missing}, quiet=quiet)
        write_dataset(dataset, out, force=force)
        found = inventory(dataset)
        write_csv(found, table)
        if not quiet:
            show_inventory(found)
        series = [str(name) for name, values in dataset.data_vars.items() if "time" in values.dims]
        typer.echo(
            f"{out}: {dataset.sizes['basin']} basin(s), {dataset.sizes['time']} steps, {', '.join(series)}, "
            f"{len(dataset.data_vars) - len(series)} attribute(s)"
        )


def main() -> None:
    """Entry point of the command `runoff-lstm`."""
    app()


@contextmanager
def _one_sentence(*, debug: bool) -> Iterator[None]:
    """Turn an error of the user's making into one sentence on stderr and exit code 1; an interrupt into exit code 130."""
    from runoff_lstm.errors import InputError, one_line

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"note: {one_line(str(message))}", err=True)
    try:
        with _ends_as_interrupts():
            yield
    except KeyboardInterrupt as stopped:
        number = stopped.args[0] if stopped.args else signal.SIGINT
        typer.echo("stopped", err=True)
        raise typer.Exit(128 + number) from None
    except (InputError, OSError, MemoryError) as error:
        if debug:
            raise
        typer.echo(f"error: {one_line(str(error) or type(error).__name__)}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def _ends_as_interrupts() -> Iterator[None]:
    """Take the signals that ask a process to end (by a scheduler, or a terminal that closes) as interrupts, unless ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asked = [getattr(signal, name) for name in names if signal.getsignal(getattr(signal, name)) is signal.SIG_DFL]
    for one in asked:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in asked:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def _run_folder(given: Path | None, name: str) -> Iterator[Path]:
    """The run folder that was asked for, or a new one by the experiment's name, which is gone if nothing was written to it."""
    from runoff_lstm.runs.folder import default_folder

    if given is not None:
        yield given
        return
    folder = default_folder(name)
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """After an interrupt, say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if (folder / "experiment.toml").exists():
            typer.echo(f"\nstopped; go on with: runoff-lstm resume {folder}", err=True)
        raise


def _read(experiment: Any, *, quiet: bool) -> Any:
    """The dataset of an experiment, mended as it says."""
    from runoff_lstm.data.preparation import mend

    data = experiment.data
    dataset = _call_reader(data.source, data.path, data.reader_arguments(), quiet=quiet)
    mending = data.mending()
    return mend(dataset, **mending, train=experiment.arguments()["periods"].train) if mending else dataset


def _call_reader(source: str, path: Any, options: dict[str, Any], *, quiet: bool) -> Any:
    from runoff_lstm.data.readers import SOURCES
    from runoff_lstm.runs.progress import reading_bar

    logging.getLogger("runoff_lstm").setLevel(logging.WARNING if quiet else logging.INFO)
    if not SOURCES[source].reports_progress:
        return SOURCES[source].read(path, **options)
    with reading_bar(f"reading {source}", show=not quiet) as observe:
        return SOURCES[source].read(path, observe=observe, **options)


def _train(experiment: Any, folder: Path, *, device: str, workers: int | None, resume: bool, quiet: bool) -> None:
    """One run or many, as the experiment says."""
    from runoff_lstm.device import resolve_device
    from runoff_lstm.runs.ensemble import cross_validate, train_ensemble
    from runoff_lstm.runs.folder import check_free, check_new_folder
    from runoff_lstm.runs.run import train_run
    from runoff_lstm.training.setup import check_settings

    resolve_device(device)
    (check_free if resume else check_new_folder)(folder)  # before minutes go by with reading
    arguments = experiment.arguments()
    check_settings(**{key: arguments[key] for key in ("inputs", "periods", "recipe")})  # before that, too
    dataset = _read(experiment, quiet=quiet)
    common: dict[str, Any] = {"device": device, "resume": resume}
    many = {"settings": experiment.settings(), "workers": workers, "show_progress": not quiet, **common}
    with _resumable(folder):
        if experiment.folds is not None:
            del arguments["seed"]
            folds = experiment.folds
            done = cross_validate(
                folder, dataset, number=folds.number, by=folds.by, fold_seed=folds.seed, seed=experiment.seed, **many, **arguments
            )
        elif experiment.seeds > 1:
            del arguments["seed"]
            seeds = [experiment.seed + place for place in range(experiment.seeds)]
            done = train_ensemble(folder, dataset, seeds, **many, **arguments)
        else:
            silent: dict[str, Any] = {"observe": lambda _: None} if quiet else {}
            show_run(train_run(folder, dataset, **arguments, **common, **silent), quiet=quiet)
            return
    if not quiet:
        show_many(done, experiment.name)


def _overrides(given: list[str] | None, **options: int | None) -> list[str]:
    """What --set says, and what options of their own say."""
    return [*(given or []), *(f"{name}={value}" for name, value in options.items() if value is not None)]


def _experiment_of(run_dir: Path) -> Any:
    from runoff_lstm.errors import InputError
    from runoff_lstm.experiment import read_experiment

    if not (run_dir / "experiment.toml").is_file():
        raise InputError(f"{run_dir} is not a run folder: it has no experiment.toml; give the folder that train has written")
    return read_experiment(run_dir / "experiment.toml")


def _bundles(model: Path) -> list[Path]:
    """The files of a model, or of all members of a run folder."""
    return sorted(model.rglob("model.safetensors")) if model.is_dir() else [model]


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    """'name=value' texts as a dict."""
    from runoff_lstm.errors import InputError

    for value in values or []:
        if "=" not in value:
            raise InputError(f"{option} {value}: write it as name=value")
    return {one.partition("=")[0].strip(): one.partition("=")[2].strip().strip('"') for one in values or []}


def _number(text: str, option: str) -> float:
    from runoff_lstm.errors import InputError

    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} {text}: not a number") from None


if __name__ == "__main__":
    main()
