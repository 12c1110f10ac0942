"""The command line: the only place where all parts meet. Each command ends well, or with one clear sentence and an exit code."""

import inspect
import json
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
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
                lines = "; ".join(f"{name}: {source.help}" for name, source in SOURCES.items())
                parameter.help = f"Kind of data. {lines}"  # type: ignore[attr-defined]
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
ThreadsOption = Annotated[
    str | None, typer.Option("--threads", help='On a CPU: a number, or "auto", which times the first updates; default: by a rule.')
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists; never an input.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Take the place of a value of the config: training.steps=500")]
Workers = Annotated[int | None, typer.Option("--workers", help="Runs at a time; default: one a processor, two on a GPU.", min=1)]
SeedOption = Annotated[int | None, typer.Option("--seed", help="In place of the config's.")]
SeedsOption = Annotated[int | None, typer.Option("--seeds", help="An ensemble of so many members, from the seed on.", min=1)]
DataPath = Annotated[Path | None, typer.Option("--data", help="Where the data are now, if they were moved.")]
NewRunDir = Annotated[Path | None, typer.Option("--run-dir", help="Where to; default: runs/<name>-<timestamp>.")]
RunDir = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]

ModelPath = Annotated[
    Path, typer.Argument(help="A model.safetensors, or a run folder: of an ensemble the mean.", show_default=False)
]
NewData = Annotated[Path, typer.Argument(help="The data, of any source that `convert` knows.", show_default=False)]
Out = Annotated[Path, typer.Option("-o", "--out", help="netCDF file to write.", show_default=False)]

_DATA_OPTIONS: dict[str, tuple[Any, Any]] = {
    "unit": (list[str] | None, typer.Option("--unit", help='Unit of a variable: precipitation="mm d-1"')),
    "rename": (list[str] | None, typer.Option("--rename", help="Name in the data: discharge=QObs")),
    "missing": (list[str] | None, typer.Option("--missing", help="A marker of missing values: ?, -888")),
    "area": (list[str] | None, typer.Option("--area", help="Area of a basin in km2: 01013500=2252.7")),
    "attributes": (Path | None, typer.Option("--attributes", help="Table of attributes, or a folder of tables.")),
    "gauge_ids": (Path | None, typer.Option("--gauge-ids", help="Text file: the basins to read, an id a line.")),
    "on_missing": (str | None, typer.Option("--on-missing", help="refuse or skip basins that lack files or attributes.")),
    "product": (list[str] | None, typer.Option("--product", help="camels_us: daymet, maurer, maurer_extended, nldas.")),
    "separator": (str | None, typer.Option("--separator", help="Of CSV files, between cells.")),
    "decimal": (str | None, typer.Option("--decimal", help="Of CSV files: a point or a comma.")),
    "date_format": (str | None, typer.Option("--date-format", help="Of CSV files, as for strptime: %d/%m/%Y")),
    "encoding": (str | None, typer.Option("--encoding", help="Of CSV files.")),
    "mend_time": (bool, typer.Option("--mend-time", help="Sort, drop equal duplicates, fill missing rows.")),
    "overrides": (list[str] | None, typer.Option("--set", help='Any other key of [data]: data.estimated="missing"')),
}
"""How data are read, for every command that reads data which no experiment file describes."""


def _with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the data options, of which it gets the values as its argument `given`."""
    signature = inspect.signature(command)
    own = [one for name, one in signature.parameters.items() if name != "given"]
    for name, (kind, option) in _DATA_OPTIONS.items():
        default = False if kind is bool else None
        own.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]))

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        command(given={name: arguments.pop(name) for name in _DATA_OPTIONS}, **arguments)

    vars(with_options)["__signature__"] = signature.replace(parameters=own)
    with_options.__annotations__ = {one.name: one.annotation for one in own}
    return with_options


@app.command()
def template(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="TOML file to write; default: print it.")] = None,
    *,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Print an experiment file with every key, its default, unit and meaning."""
    with _one_sentence(debug=debug):
        from runoff_lstm import reference
        from runoff_lstm.files import check_target, written_whole

        if out is None:
            typer.echo(reference.template(), nl=False)
            return
        check_target(out, endings=(".toml",), inputs=[reference.catchments() / "reference.toml"], force=force)
        with written_whole(out) as part:
            part.write_text(reference.template(), encoding="utf-8")
        typer.echo(f"{out}")


@app.command()
def train(  # noqa: PLR0913 - typer makes an option of each
    config: Annotated[Path, typer.Argument(help="Experiment file (TOML).", show_default=False)],
    run_dir: NewRunDir = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = None,
    start_from: Annotated[
        Path | None, typer.Option("--start-from", help="A model.safetensors or run folder to go on from.")
    ] = None,
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

        settings = _overrides(overrides, seed=seed, seeds=seeds, threads=threads)
        if start_from is not None:
            settings += [f"fine_tuning.start_from={json.dumps(literal_path(start_from.resolve()), ensure_ascii=False)}"]
        experiment = read_experiment(config, overrides=settings)
        with _run_folder(run_dir, experiment.name) as folder:
            _train(experiment, folder, device=device, workers=workers, resume=False, quiet=quiet)


@app.command()
def resume(
    run_dir: RunDir,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    workers: Workers = None,
    data: DataPath = None,
    overrides: Overrides = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Resume a run that was stopped, to the very result it would have had; or give it a larger budget."""
    with _one_sentence(debug=debug):
        from runoff_lstm.runs.folder import RunFolder, check_free
        from runoff_lstm.runs.settings import is_enlarged
        from runoff_lstm.training.budget import BUDGETS

        experiment, folder = _experiment_of(run_dir, data, _overrides(overrides, threads=threads), also=BUDGETS), RunFolder(run_dir)
        check_free(run_dir)
        if folder.is_finished and not is_enlarged(folder, experiment.training):
            typer.echo(f"{run_dir} is finished; a larger budget needs --set training.steps=N and a constant or step schedule")
            return
        _train(experiment, run_dir, device=device, workers=workers, resume=True, quiet=quiet)


@app.command()
def evaluate(
    run_dir: RunDir,
    period: Annotated[str, typer.Option("--period", help="test, validation or train.")] = "test",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    data: DataPath = None,
    overrides: Overrides = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate and score a period of a finished run; writes <period>_metrics.csv and the like into its folder."""
    with _one_sentence(debug=debug):
        from runoff_lstm.errors import InputError
        from runoff_lstm.inputs.checks import check
        from runoff_lstm.inputs.device import resolve_device
        from runoff_lstm.runs.folder import RunFolder, load_models
        from runoff_lstm.runs.run import split_basins
        from runoff_lstm.runs.scores import evaluate_checked

        experiment = _experiment_of(run_dir, data, _overrides(overrides, threads=threads))
        if experiment.walk_forward is not None:  # its last model may have been fitted to any period
            raise InputError(f"{run_dir} is a walk through the test period, scored already; evaluate a run without [walk_forward]")
        models = load_models(run_dir, device=resolve_device(device))
        arguments = experiment.arguments()
        dataset = _read(experiment, quiet=quiet)
        checked = check(dataset, arguments["inputs"], arguments["periods"])
        _, scored = split_basins(checked, held_out=arguments["held_out"], on_missing=arguments["on_missing"])
        chosen = {key: arguments[key] for key in ("name", "periods", "metrics")}
        ungauged = bool(arguments["held_out"])
        chosen |= {"observed": scored.measured, "period_name": period, "ungauged": ungauged}
        chosen["threads"] = experiment.training.threads
        scores = evaluate_checked(RunFolder(run_dir), models, scored.dataset, **chosen)
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
        from runoff_lstm.files import check_target
        from runoff_lstm.runs.comparison import compare_tables, table_of

        if out is not None:
            check_target(out, endings=(".csv", ".png"), inputs=map(table_of, (ours, reference)), force=force)
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
@_with_data_options
def simulate(  # noqa: PLR0913 - typer makes an option of each
    model: ModelPath,
    data: NewData,
    out: Out,
    mode: Annotated[str, typer.Option("--mode", help="windows (as trained) or continuous (one pass, state kept).")] = "windows",
    mc_samples: Annotated[
        int | None, typer.Option("--mc-samples", help="So many members, with the dropout of the training kept on.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the dropout masks of --mc-samples.")] = 0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    *,
    state_in: Annotated[Path | None, typer.Option("--state-in", help="State to continue from (--mode continuous).")] = None,
    state_out: Annotated[
        Path | None, typer.Option("--state-out", help="Write the state after the last step here (.safetensors).")
    ] = None,
    force: Force = False,
    debug: Debug = False,
    given: dict[str, Any],
) -> None:
    """Simulate discharge from forcing; observations are needed only by a model trained with discharge_lags."""
    with _one_sentence(debug=debug):
        from runoff_lstm.errors import InputError, check_choice
        from runoff_lstm.files import check_target, write_netcdf
        from runoff_lstm.inputs.device import read_threads, resolve_device
        from runoff_lstm.prediction.inference import Mode
        from runoff_lstm.prediction.input_warnings import each_warning_once
        from runoff_lstm.prediction.state import read_state, write_state
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.scores import mean_of

        check_choice("mode", mode, get_args(Mode))
        asked_threads = read_threads(threads)
        given_files = [one for one in (data, *_bundles(model), state_in) if one is not None]
        check_target(out, endings=(".nc",), inputs=given_files, force=force)
        if state_out is not None:
            check_target(state_out, endings=(".safetensors",), inputs=given_files, force=force)
        models = load_models(model, device=resolve_device(device))
        trained = models[0]
        with_state = state_in is not None or state_out is not None
        if with_state and (mode != "continuous" or mc_samples is not None or len(models) > 1):
            raise InputError("a state belongs to one model in --mode continuous without --mc-samples; give these")
        before = None if state_in is None else read_state(state_in, trained)
        if mc_samples is not None and len(models) > 1:
            raise InputError(f"--mc-samples {mc_samples} is for one model; name one of the {len(models)} members of {model}")
        dataset = _read_new(model, trained, data, given, needs_discharge=bool(trained.discharge_lags))
        passed: Any = {"mode": mode, "mc_samples": mc_samples, "seed": seed, "threads": asked_threads}
        with each_warning_once():
            if with_state:
                one, after = trained.simulate_from(dataset, before, threads=asked_threads)
                made = [one]
            else:
                made = [one.simulate(dataset, **passed) for one in models]
        simulated = made[0].assign(simulated=mean_of([one["simulated"] for one in made]))
        write_netcdf(simulated.assign_attrs(Conventions="CF-1.11", featureType="timeSeries"), out)
        if state_out is not None:
            write_state(state_out, trained, after)
        members = "" if mc_samples is None else f"{mc_samples} member(s), "
        steps = int(simulated["simulated"].notnull().sum()) // (mc_samples or 1)
        typer.echo(f"{out}: {members}{simulated.sizes['basin']} basin(s), {steps} simulated steps")


@app.command()
@_with_data_options
def forecast(
    model: ModelPath,
    data: NewData,
    out: Out,
    issue_date: Annotated[
        str | None,
        typer.Option(
            "--issue-date",
            help="The last step whose observations are used, such as 2017-05-04; default: the last step with observed discharge.",
        ),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Forecast from every step after it up to this one too.")] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    *,
    force: Force = False,
    debug: Debug = False,
    given: dict[str, Any],
) -> None:
    """Forecast discharge from an issue date; of what comes after it only the forecast forcing is used."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.times import date_label
        from runoff_lstm.files import check_target, write_netcdf
        from runoff_lstm.inputs.device import read_threads, resolve_device
        from runoff_lstm.prediction.forecast import issue_dates
        from runoff_lstm.prediction.input_warnings import each_warning_once
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.scores import mean_of

        asked_threads = read_threads(threads)
        check_target(out, endings=(".nc",), inputs=[data, *_bundles(model)], force=force)
        models = load_models(model, device=resolve_device(device))
        trained = models[0]
        dataset = _read_new(model, trained, data, given, needs_discharge=True)
        period = issue_dates(dataset, issue_date, until)
        with each_warning_once():
            members = [one.forecast(dataset, period=period, threads=asked_threads) for one in models]
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
    threads: ThreadsOption = None,
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

        experiment = read_experiment(config, overrides=_overrides(overrides, seed=seed, seeds=seeds, threads=threads))
        if not experiment.windows.lead_times:
            raise InputError(f"{config} simulates; set [windows] lead_times, such as lead_times = 7, to forecast")
        check_walked(experiment.arguments()["periods"])
        with _run_folder(run_dir, experiment.name) as folder:
            _train(experiment, folder, device=device, workers=workers, resume=False, quiet=quiet)


@app.command(cls=_WithSources)
@_with_data_options
def convert(
    source: Annotated[str, typer.Argument(help="Kind of data.", show_default=False)],
    path: Annotated[Path, typer.Argument(help="The data.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="netCDF file (.nc) or Zarr store (.zarr) to write.", show_default=False)],
    variable: Annotated[list[str] | None, typer.Option("--variable", help="A variable to keep; default: all.")] = None,
    *,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
    given: dict[str, Any],
) -> None:
    """Turn data of any known source into one canonical CF netCDF file or Zarr store; <out>.basins.csv says what was found."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.inventory import inventory
        from runoff_lstm.data.preparation import mend, needed_variables
        from runoff_lstm.data.readers import SOURCES, WRITTEN, write_dataset
        from runoff_lstm.errors import check_choice
        from runoff_lstm.experiment import read_data_table
        from runoff_lstm.files import check_target, literal_path, write_csv

        check_choice("source", source, SOURCES)
        table, inputs = out.with_name(f"{out.name}.basins.csv"), [path, *filter(None, (given["attributes"], given["gauge_ids"]))]
        check_target(out, endings=WRITTEN, inputs=inputs, force=force)
        check_target(table, endings=(".csv",), inputs=inputs, force=force)
        asked = {"source": source, "path": literal_path(path.resolve()), **_data_table(given)}
        data = read_data_table(asked, overrides=given["overrides"] or [])
        mending = data.mending()
        needed, _ = needed_variables(variable or [], {name: one.formula for name, one in data.derive.items()})
        options = {**data.reader_arguments(), "variables": needed if variable else None}
        dataset = _call_reader(data.source, data.path, options, quiet=quiet)
        dataset = mend(dataset, **mending) if mending else dataset
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
    from runoff_lstm.errors import InputError, one_line, show_log

    show_log()
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
    from runoff_lstm.runs.folder import RunFolder

    try:
        yield
    except KeyboardInterrupt:
        if RunFolder(folder).experiment.exists():
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
    from runoff_lstm.inputs.device import resolve_device
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


def _overrides(given: list[str] | None, *, threads: str | None = None, **options: int | None) -> list[str]:
    """What --set says, and what options of their own say."""
    from runoff_lstm.inputs.device import read_threads

    said = {**options, "training.threads": json.dumps(read_threads(threads)) if threads is not None else None}
    return [*(given or []), *(f"{name}={value}" for name, value in said.items() if value is not None)]


def _experiment_of(run_dir: Path, data: Path | None = None, overrides: list[str] | None = None, *, also: Sequence[str] = ()) -> Any:
    """The experiment of a run folder, its data where they are now."""
    from runoff_lstm.errors import InputError
    from runoff_lstm.experiment import read_experiment
    from runoff_lstm.files import literal_path
    from runoff_lstm.runs.folder import RunFolder

    file, free = (
        RunFolder(run_dir).experiment,
        ("data.", "fine_tuning.start_from", *(f"training.{one}" for one in ("threads", *also))),
    )
    if not file.is_file():
        raise InputError(f"{run_dir} is not a run folder: it has no {file.name}; give the folder that train has written")
    for one in overrides or []:
        if not one.strip().startswith(free):
            larger = " or, to resume with a larger budget, training.steps" if also else ""
            raise InputError(f"--set {one}: a run keeps its settings; set data.path and the like{larger}, or train anew")
    moved = [] if data is None else [f"data.path={json.dumps(literal_path(data.resolve()), ensure_ascii=False)}"]
    experiment = read_experiment(file, overrides=[*moved, *(overrides or [])])
    attributes = getattr(experiment.data, "attributes", None)
    for key, place, remedy in (
        ("path", experiment.data.path, "--data PATH, or --set data.path=PATH"),
        ("attributes", attributes, "--set data.attributes=PATH"),
    ):
        if place and not Path(place).exists():
            raise InputError(f"{run_dir}: [data] {key}: {place} is not there; say where it is now: {remedy}")
    return experiment


def _data_table(given: dict[str, Any]) -> dict[str, Any]:
    """What the data options say, as keys of [data]."""
    from runoff_lstm.files import literal_path

    paths = {name: literal_path(given[name].resolve()) for name in ("attributes", "gauge_ids") if given[name] is not None}
    table = {
        "units": _pairs(given["unit"], "--unit"),
        "rename": _pairs(given["rename"], "--rename"),
        "missing": given["missing"],
        "area_km2": {gauge_id: _number(value, "--area") for gauge_id, value in _pairs(given["area"], "--area").items()},
        "on_missing": given["on_missing"],
        "products": given["product"],
        "csv": {name: given[name] for name in ("separator", "decimal", "date_format", "encoding") if given[name] is not None},
        "mend_time": given["mend_time"],
        **paths,
    }
    return {name: value for name, value in table.items() if value}


def _read_new(model: Path, trained: Any, path: Path, given: dict[str, Any], *, needs_discharge: bool) -> Any:
    """New data, read as those of the model's training were, save what the options say otherwise."""
    from runoff_lstm.data.preparation import read_as
    from runoff_lstm.data.readers import source_of
    from runoff_lstm.experiment import read_data_table
    from runoff_lstm.files import literal_path
    from runoff_lstm.inputs.checks import basins_without_attributes
    from runoff_lstm.runs.run import without

    table = {"source": source_of(path), "path": literal_path(path.resolve()), **_data_table(given)}
    data = read_data_table(table, overrides=given["overrides"] or [])
    asked = {"source": data.source, **data.preparation(asked=True)}
    asked |= {} if data.gauge_ids is None else {"gauge_ids": data.gauge_ids}
    preparation = _preparation(model, trained)
    dataset = read_as(
        preparation,
        data.path,
        forcing=list(trained.forcing),
        static_attributes=trained.static_attributes,
        needs_discharge=needs_discharge,
        overrides=asked,
        trained_on=trained.gauge_ids,
        train=trained.training_period,
        read=lambda source, path, options: _call_reader(source, path, options, quiet=False),
    )
    on_missing = asked.get("on_missing", preparation.get("on_missing", "refuse"))
    return without(dataset, basins_without_attributes(dataset, trained.static_attributes), on_missing)


def _preparation(model: Path, trained: Any) -> dict[str, Any]:
    """How the data of a model's training were read: as it carries itself, or else as its run folder says."""
    from runoff_lstm.experiment import read_experiment
    from runoff_lstm.runs.folder import RunFolder

    file = RunFolder(model if model.is_dir() else model.parent).experiment
    carried = dict(trained.preparation)
    if carried or not file.is_file():
        return carried
    data = read_experiment(file).data
    return {"source": data.source, **data.preparation()}


def _bundles(model: Path) -> list[Path]:
    """The files of a model, or of all members of a run folder."""
    from runoff_lstm.runs.folder import RunFolder

    return RunFolder(model).models if model.is_dir() else [model]


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
