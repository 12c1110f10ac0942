"""From a formula of an experiment file to numbers: names, numbers, + - * / ** and a few functions, and nothing else of Python."""

import ast
import functools
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from runoff_lstm.data.units import Values
from runoff_lstm.errors import InputError

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
    """The variables a formula needs, in the order they are named.

    >>> formula_names("max(tmin + tmax, 0) / 2")
    ['tmin', 'tmax']
    """
    inputs: dict[str, Values] = defaultdict(lambda: np.ones(1))
    evaluate_formula(formula, inputs)
    return list(inputs)


def evaluate_formula(formula: str, inputs: Mapping[str, Values]) -> Values:
    """Value of a formula, of whitelisted parts alone; a division by zero is infinite."""
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
            return np.asarray(number, dtype=np.float64)  # a power of Python's integers could run for ever
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
