"""New variables from formulas of names, numbers, + - * / ** and a few functions; no other Python is allowed."""

import ast
import functools
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import xarray as xr

from runoff_lstm.data.filling import log_counts, numbers_of
from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.masks import has_mask, mask_of, sees_later, with_mask
from runoff_lstm.data.names import AREA, BASIN, DISCHARGE, TIME, refuse_mask
from runoff_lstm.data.times import times_in_order
from runoff_lstm.data.units import Values, convert, discharge_to_depth, kept_units
from runoff_lstm.errors import InputError


def derive(dataset: xr.Dataset, name: str, formula: str, *, units: str) -> xr.Dataset:
    """Add a variable computed from others.

    Parameters
    ----------
    dataset
        Variables over (basin, time) and (basin,); a formula may mix both.
    name
        Name of the new variable.
    formula
        Names, numbers, + - * / **, parentheses and min, max, sqrt, exp, log (natural), abs. Variables enter in their unit in the
        dataset. Kept as the attribute `long_name`.
    units
        Unit of the result. A variable over time is converted to its canonical unit. Discharge in volume per time needs `area_km2`
        in the dataset.

    Returns
    -------
    Dataset
        With the variable, float32; over (basin,) if the formula has no variable over time. NaN where an input is NaN, and where the
        result is not finite, which is logged. Marked as filled where an input was filled.

    Raises
    ------
    InputError
        The formula is invalid, or has an unknown variable or none; the name is taken; a unit is not known.

    Examples
    --------
    >>> made = derive(xr.Dataset({"low": ("basin", [1.0]), "high": ("basin", [4.0])}), "mid", "(low + high) / 2", units="m")
    >>> made["mid"].values.tolist()
    [2.5]
    """
    if name in as_dataset(dataset).variables or name in dataset.dims:
        raise InputError(f"derive: the data have '{name}' already; choose another name")
    refuse_mask(dataset, name, "derive")
    names = formula_names(formula)
    if not names:
        raise InputError(f"derive {name}: the formula '{formula}' names no variable; write a number as an attribute instead")
    inputs = {one: numbers_of(dataset, one, name) for one in names}
    missing = functools.reduce(np.logical_or, map(np.isnan, inputs.values()))
    result = evaluate_formula(formula, inputs)
    dims = (BASIN, TIME) if any(TIME in dataset[one].dims for one in names) else (BASIN,)
    if TIME in dims:
        times = times_in_order(dataset)
        step, source = np.timedelta64(times[1] - times[0]), units
        units = kept_units(name, source, step)
        if name == DISCHARGE:
            result = discharge_to_depth(result, source, area_km2=dataset[AREA].values if AREA in dataset else None, step=step)
        elif units != source:
            result = convert(result, source, units)
    with np.errstate(over="ignore"):
        made = np.where(missing, np.nan, result).astype(np.float32)
    infinite = ~np.isfinite(made) & ~missing
    log_counts(dataset, name, infinite, "without a finite result, made NaN")
    made[infinite] = np.nan
    attrs = {"units": units, "long_name": formula}
    derived = dataset.assign({name: (dims, made.reshape([dataset.sizes[dim] for dim in dims]), attrs)})
    masks = [mask_of(dataset, one) for one in names if has_mask(dataset, one)]
    if not masks:
        return derived
    filled = functools.reduce(np.logical_or, masks) & ~np.isnan(made)
    return with_mask(derived, name, filled, later=any(sees_later(dataset, one) for one in names))


OPERATORS: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}


FUNCTIONS: dict[str, np.ufunc] = {
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "abs": np.absolute,
}


LONGEST_FORMULA = 500


def formula_names(formula: str) -> list[str]:
    """List the variables of a formula in order of appearance.

    >>> formula_names("max(tmin + tmax, 0) / 2")
    ['tmin', 'tmax']
    """
    inputs: dict[str, Values] = defaultdict(lambda: np.ones(1))
    evaluate_formula(formula, inputs)
    return list(inputs)


def evaluate_formula(formula: str, inputs: Mapping[str, Values]) -> Values:
    """Evaluate a formula of whitelisted parts; a division by zero is infinite."""
    if len(formula) > LONGEST_FORMULA:
        raise InputError(f"the formula '{formula[:40]} ...' is longer than {LONGEST_FORMULA} characters; derive it in two steps")
    try:
        tree = ast.parse(" ".join(formula.split()), mode="eval").body
        with np.errstate(all="ignore"):
            return _value(tree, inputs)
    except InputError as error:
        raise InputError(f"the formula '{formula}': {error}") from None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(f"the formula '{formula}' cannot be read; write it as (tmin + tmax) / 2") from None


def _value(node: ast.expr, inputs: Mapping[str, Values]) -> Values:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and number < 1e300:
            return np.asarray(number, dtype=np.float64)  # a power of Python integers could take unbounded time
        case ast.Name(id=name):
            return inputs[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, inputs)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return np.asarray(OPERATORS[type(op)](_value(left, inputs), _value(right, inputs)))
        case ast.Call(func=ast.Name(id=name), args=[_, *others] as args, keywords=[]) if name in FUNCTIONS:
            function, values = FUNCTIONS[name], [_value(one, inputs) for one in args]
            if function.nin == 2 and others:
                return functools.reduce(function, values)
            if function.nin == 1 and not others:
                return np.asarray(function(values[0]))
    raise InputError(f"{ast.unparse(node)} is not understood; use names, numbers, + - * / ** and {', '.join(FUNCTIONS)}")
