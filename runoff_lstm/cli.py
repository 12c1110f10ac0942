"""The command line: the only place where all parts meet. Each command ends well, or with one clear sentence and an exit code."""

import json
import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
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
NewRunDir = Annotated[Path | None, typer.Option("--run-dir", help="Where to; default: runs/<name>-<timestamp>.")]
RunDir = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


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
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A larger budget: training.steps=1920, or training.epochs=60")
    ] = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Go on with a run that was stopped, to the very result it would have had; or with a larger budget."""
    with _one_sentence(debug=debug):
        from runoff_lstm.errors import InputError
        from runoff_lstm.runs.folder import RunFolder, check_free
        from runoff_lstm.runs.settings import is_enlarged
        from runoff_lstm.training.budget import BUDGETS

        for override in overrides or []:
            if override.partition("=")[0].strip() not in [f"training.{name}" for name in BUDGETS]:
                raise InputError(f"--set {override}: a run is resumed as it was asked for, but for a larger training.steps")
        experiment, folder = _experiment_of(run_dir, overrides=_overrides(overrides, threads=threads)), RunFolder(run_dir)
        check_free(run_dir)
        if folder.is_finished and not is_enlarged(folder, experiment.training):
            typer.echo(f"{run_dir} is finished, there is nothing to resume; go on with a larger budget by --set")
            return
        _train(experiment, run_dir, device=device, workers=workers, resume=True, quiet=quiet)


@app.command()
def evaluate(
    run_dir: RunDir,
    period: Annotated[str, typer.Option("--period", help="test, validation or train.")] = "test",
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    *,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate and score a period of a finished run; writes <period>_metrics.csv and the like into its folder."""
    with _one_sentence(debug=debug):
        from runoff_lstm.device import resolve_device
        from runoff_lstm.errors import InputError
        from runoff_lstm.inputs.checks import check
        from runoff_lstm.runs.folder import RunFolder, load_models
        from runoff_lstm.runs.run import split_basins
        from runoff_lstm.runs.scores import evaluate_checked

        experiment = _experiment_of(run_dir, overrides=_overrides(None, threads=threads))
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
    threads: ThreadsOption = None,
    *,
    state_in: Annotated[Path | None, typer.Option("--state-in", help="State to continue from (--mode continuous).")] = None,
    state_out: Annotated[
        Path | None, typer.Option("--state-out", help="Write the state after the last step here (.safetensors).")
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Simulate discharge from forcing; observations are needed only by a model trained with discharge_lags."""
    with _one_sentence(debug=debug):
        from runoff_lstm.device import read_threads, resolve_device
        from runoff_lstm.errors import InputError, check_choice
        from runoff_lstm.files import check_target, write_netcdf
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
        wanted = [*trained.forcing, *trained.static_attributes, *(["discharge"] if trained.discharge_lags else [])]
        given = {"units": _pairs(unit, "--unit"), "rename": _pairs(rename, "--rename")}
        options = {"variables": wanted, **{name: value for name, value in given.items() if value}}
        dataset = _call_reader(_source_of(data), data, options, quiet=False)
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
    threads: ThreadsOption = None,
    *,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Forecast discharge from an issue date; of what comes after it only the forecast forcing is used."""
    with _one_sentence(debug=debug):
        from runoff_lstm.data.times import date_label
        from runoff_lstm.device import read_threads, resolve_device
        from runoff_lstm.files import check_target, write_netcdf
        from runoff_lstm.prediction.forecast import issue_dates
        from runoff_lstm.prediction.input_warnings import each_warning_once
        from runoff_lstm.runs.folder import load_models
        from runoff_lstm.runs.scores import mean_of

        asked_threads = read_threads(threads)
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
        dataset = _call_reader(_source_of(data), data, options, quiet=False)
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


@app.command()
def convert(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    source: Annotated[str, typer.Argument(help="netcdf, zarr, csv, camels_us or caravan.", show_default=False)],
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
        from runoff_lstm.data.readers import ARCHIVES, READERS, WRITTEN, write_dataset
        from runoff_lstm.errors import InputError, check_choice
        from runoff_lstm.files import check_target, write_csv

        check_choice("source", source, READERS)
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
            if (name not in ARCHIVES[source]) if source in ARCHIVES else name == "products":
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
    from runoff_lstm.log import show_log

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
    from runoff_lstm.data.readers import ARCHIVES, READERS
    from runoff_lstm.runs.progress import reading_bar

    logging.getLogger("runoff_lstm").setLevel(logging.WARNING if quiet else logging.INFO)
    if source not in ARCHIVES:
        return READERS[source](path, **options)
    with reading_bar(f"reading {source}", show=not quiet) as observe:
        return READERS[source](path, observe=observe, **options)


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


def _overrides(given: list[str] | None, *, threads: str | None = None, **options: int | None) -> list[str]:
    """What --set says, and what options of their own say."""
    from runoff_lstm.device import read_threads

    said = {**options, "training.threads": json.dumps(read_threads(threads)) if threads is not None else None}
    return [*(given or []), *(f"{name}={value}" for name, value in said.items() if value is not None)]


def _experiment_of(run_dir: Path, *, overrides: Sequence[str] = ()) -> Any:
    from runoff_lstm.errors import InputError
    from runoff_lstm.experiment import read_experiment
    from runoff_lstm.runs.folder import RunFolder

    file = RunFolder(run_dir).experiment
    if not file.is_file():
        raise InputError(f"{run_dir} is not a run folder: it has no {file.name}; give the folder that train has written")
    return read_experiment(file, overrides=overrides)


def _bundles(model: Path) -> list[Path]:
    """The files of a model, or of all members of a run folder."""
    from runoff_lstm.runs.folder import RunFolder

    return RunFolder(model).models if model.is_dir() else [model]


def _source_of(path: Path) -> str:
    from runoff_lstm.files import is_archive, is_zarr

    for archive in ("camels_us", "caravan"):
        if is_archive(path, archive):
            return archive
    if path.is_dir():
        return "zarr" if is_zarr(path) else "csv"
    return "csv" if path.suffix.lower() == ".csv" else "netcdf"


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
