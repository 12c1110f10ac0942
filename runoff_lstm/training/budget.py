"""Checks of whether a stopped or finished training may resume with a larger budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runoff_lstm.errors import InputError
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.schedules import depends_on_budget

BUDGETS = ("steps", "epochs")


def has_other_budget(before: Mapping[str, Any], recipe: Recipe) -> bool:
    """Check whether a recipe has another budget than the previous training."""
    return any(before.get(name) != getattr(recipe, name) for name in BUDGETS)


def check_budget(before: Mapping[str, Any], recipe: Recipe, *, run: Path, experiment: Path | None = None) -> None:
    """Raise if resuming with another budget would change the result.

    The result must be bit for bit that of this budget from the start.

    Parameters
    ----------
    before
        Settings of the previous training, as plain values.
    recipe
        Settings of the resumed training.
    run, experiment
        Run folder or checkpoint, and experiment file, for the message.
    """
    if not has_other_budget(before, recipe):
        return
    name = "steps" if recipe.steps is not None else "epochs"
    new, old = getattr(recipe, name), before.get(name)
    how = "" if experiment is None else f": runoff-lstm train {experiment} --set training.{name}={new}"
    if old is None or new < old:
        known = next(one for one in BUDGETS if before.get(one) is not None)
        raise InputError(
            f"{run} was trained with {known} = {before[known]}, and {name} = {new} is no larger budget; give more {known}, or "
            f"train anew{how}"
        )
    if depends_on_budget(recipe.schedule):
        further = "start_from" if experiment is None else f"by the same command with --start-from {run}"
        raise InputError(
            f'{run}: schedule = "{recipe.schedule}" spreads the learning rate over the whole budget, so that with {name} = {new} '
            f"instead of {old} it would have been another from the first update on; train anew{how}, or go on from the trained "
            f"model {further}"
        )
