"""From plain arguments to a run folder of walk-forward validation: train once, then roll through the test period."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from runoff_lstm.bundle import write_bundle
from runoff_lstm.fitting import Recipe
from runoff_lstm.forecasting import LSTMForecaster, walk_forward
from runoff_lstm.run_folder import Run, check_scored, last_issue_dates, score_forecasts, split_basins, train_run
from runoff_lstm.schema import InputError, times_of


def walk_forward_run(
    path: str | Path,
    dataset: xr.Dataset,
    *,
    every: int = 1,
    fit_every: int | None = None,
    window: int | None = None,
    fine_tune: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Run:
    """Train, walk forward through the test period, and write the run folder.

    Parameters
    ----------
    path, dataset
        As for `train_run`.
    every, fit_every, window
        As for `walk_forward`. At each new fit the validation period slides to the end of the history, keeping its length.
    fine_tune
        `steps` and `learning_rate` with which the model goes on at each new fit; None: it is trained afresh.
    **arguments
        Of `train_run`; its inputs have lead times, its periods a test period.

    Returns
    -------
    Run
        As of `train_run`; model.safetensors is the last model, the scores are those of the walk.
    """
    periods, inputs, recipe = arguments["periods"], arguments["inputs"], arguments["recipe"]
    if not inputs.lead_times:
        raise InputError("walking forward is for forecasts; set [windows] lead_times, such as lead_times = 7")
    if periods.test is None:
        raise InputError("the walk goes through the test period; name one in [periods]")
    if fine_tune is not None and fit_every is None:
        raise InputError("fine_tune says how a model is fitted again; set fit_every, the number of origins between two fits")
    rolling = {"every": every, "fit_every": fit_every, "window": window, "fine_tune": fine_tune and dict(fine_tune)}
    given = {name: value for name, value in rolling.items() if value is not None}
    run = train_run(path, dataset, **arguments, further={"walk_forward": given})
    if fit_every is None and every == 1:
        return run
    _, dataset = split_basins(
        dataset,
        periods=periods,
        inputs=inputs,
        held_out=arguments.get("held_out", ()),
        on_missing=arguments.get("on_missing", "refuse"),
    )
    times = times_of(dataset)
    validation = 0 if periods.validation is None else len(times[periods.validation.steps(times)])
    forecaster = LSTMForecaster(
        inputs,
        recipe,
        architecture=run.model.architecture,
        seed=arguments.get("seed", 0),
        device=arguments.get("device", "auto"),
        model=run.model,
        validation_steps=validation,
        fine_tune=None if fine_tune is None else _going_on(recipe, **fine_tune),
    )
    forecast = walk_forward(
        forecaster,
        dataset,
        period=last_issue_dates(times, check_scored(dataset, periods, "test"), inputs.lead_times),
        lead_times=inputs.lead_times,
        every=every,
        fit_every=fit_every,
        window=window,
        forecast_forcing=inputs.forecast_forcing,
    )
    assert forecaster.model is not None
    write_bundle(forecaster.model, run.path / "model.safetensors")
    lead_scores = score_forecasts(run.path, dataset, forecast, name=run.name, periods=periods)
    return replace(run, model=forecaster.model, lead_scores=lead_scores)


def _going_on(recipe: Recipe, *, steps: int, learning_rate: float) -> Recipe:
    """The recipe with few updates at one small rate."""
    return replace(
        recipe, steps=steps, epochs=None, learning_rate=learning_rate, schedule="constant", milestones=(), validate_every=steps
    )
