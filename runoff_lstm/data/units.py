"""Convert units to the canonical ones by pint, and volumes to depths by the basin's area."""

import functools
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from runoff_lstm.data.names import DAY, DISCHARGE, discharge_units, is_precipitation
from runoff_lstm.errors import InputError

Values = npt.NDArray[np.float64]

SPELLINGS = {
    "cfs": "foot**3/second",
    "cusec": "foot**3/second",
    "cusecs": "foot**3/second",
    "cms": "meter**3/second",
    "cumecs": "meter**3/second",
    "cumec": "meter**3/second",
    "c": "degC",
    "°c": "degC",
    "degrees c": "degC",
    "deg c": "degC",
    "degrees_celsius": "degC",
    "celsius": "degC",
    "k": "kelvin",
    "kelvin": "kelvin",
    "f": "degF",
    "°f": "degF",
    "mb": "millibar",
    "%": "percent",
    "-": "dimensionless",
    "": "dimensionless",
}
"""Common spellings in hydrology that pint reads differently ("C" would be coulomb), in lower case."""

WORDS = {r"Mm(\^|\*\*)?3": "hectometer**3", "MCM": "hectometer**3", r"[Ll]y": "langley"}
"""The same for parts of a unit, as patterns: million cubic metres, not cubic megametres; langleys, not light-years."""

LONGEST_UNIT = 60
"""Longest unit, in characters."""

MOST_POWER = 1000
"""Largest product of all exponents of a unit."""

_EXPONENT = re.compile(r"\s*(\()?\s*([+-]?\d{1,2}(\.\d{1,2})?)\s*(?(1)\))(?![\d.]|\s*(\*\*|\^))")

SLOWEST_WIND = 0.005
"""Smallest unit of a speed, in m s-1; smaller units are depths of water per time, such as m h-1 and mm s-1."""

WATER_KG_PER_M3 = 1000.0

_PLAIN = frozenset({"mm d-1", "mm h-1", "mm", "degC", "W m-2", "Pa", "m s-1", "%", "1"})
"""Units known without pint, which takes half a second to load."""

_UNKNOWN = "the unit '{}' is not known; write it as mm d-1, m3 s-1, degC, W m-2 or Pa"


def convert(values: npt.ArrayLike, from_units: str, to_units: str) -> Values:
    """Convert values to another unit, float64.

    A mass of water per area (kg m-2 s-1, as climate models give precipitation) counts as a depth: 1 kg m-2 is 1 mm.

    Raises
    ------
    InputError
        A unit is not known, or the two units differ in dimension.

    Examples
    --------
    >>> convert([0.0, 20.0], "degC", "K").tolist()
    [273.15, 293.15]
    >>> convert([1.0], "kg m-2 s-1", "mm d-1").tolist()
    [86400.0]
    """
    source, target = _unit(from_units), _unit(to_units)
    density = 1.0
    if source.dimensionality != target.dimensionality and source.dimensionality == (target * _unit("kg m-3")).dimensionality:
        source, density = source / _unit("kg m-3"), WATER_KG_PER_M3
    if source.dimensionality != target.dimensionality:
        raise InputError(f"the unit '{from_units}' cannot be converted to '{to_units}'; they do not measure the same thing")
    quantity = _registry().Quantity(np.asarray(values, dtype=np.float64) / density, source)
    try:
        converted: Values = np.asarray(quantity.to(target).magnitude)
    except Exception:  # such as degrees Celsius per kilometre, which has no zero
        raise InputError(f"the unit '{from_units}' cannot be converted to '{to_units}'; convert the values before") from None
    return converted


def canonical_units(units: str, step: np.timedelta64) -> str:
    """Return the canonical unit for a forcing of a given unit.

    Depth per time becomes mm d-1 (mm h-1 if the step is shorter than a day), depth mm (an amount per step), temperature degC, power
    per area W m-2, pressure Pa, speed m s-1. The size of the unit separates speed from depth per time: m s-1, km h-1 and km d-1 are
    speeds, mm s-1 and m d-1 are depths per time. Everything else keeps its unit.

    Raises
    ------
    InputError
        The unit is not known.

    Examples
    --------
    >>> [canonical_units(units, np.timedelta64(1, "D")) for units in ("mm/day", "kg m-2 s-1", "K", "hPa", "km h-1", "%")]
    ['mm d-1', 'mm d-1', 'degC', 'Pa', 'm s-1', '%']
    """
    unit = _unit(units)
    if unit.dimensionality == _unit("m s-1").dimensionality and _registry().Quantity(1, unit).to("m/s").magnitude >= SLOWEST_WIND:
        return "m s-1"
    kinds = {
        "mm d-1": discharge_units(step),
        "kg m-2 s-1": discharge_units(step),
        "mm": "mm",
        "kg m-2": "mm",
        "degC": "degC",
        "W m-2": "W m-2",
        "Pa": "Pa",
    }
    for example, canonical in kinds.items():
        if unit.dimensionality == _unit(example).dimensionality:
            return canonical
    return units


def kept_units(name: str, units: str, step: np.timedelta64) -> str:
    """Return the canonical unit of a variable over time, see `canonical_units`.

    Errors name the variable.
    """
    try:
        return discharge_units(step) if name == DISCHARGE else canonical_units(units, step)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def check_units(units: Mapping[str, object]) -> None:
    """Raise on variables without a unit or with an unknown one, all in one error.

    Parameters
    ----------
    units
        Unit by variable; None or blank: no unit. Plain numbers have the unit "1".

    Examples
    --------
    >>> check_units({"rain": "mm d-1", "share": "1"})
    """
    absent = [name for name, unit in units.items() if unit is None or not str(unit).strip()]
    if absent:
        table = ", ".join(f'{name} = "{_example(name)}"' for name in absent)
        raise InputError(
            f"{', '.join(absent)} {'has' if len(absent) == 1 else 'have'} no unit; say which: units = {{{table}}} "
            '("1" where it has none; --unit on the command line, the attribute units in Python)'
        )
    unknown = {name: why for name, unit in units.items() if (why := _why_unknown(str(unit))) is not None}
    if unknown:
        (first, why), *others = unknown.items()
        also = ", ".join(f"{name} ('{units[name]}')" for name, _ in others)
        raise InputError(f"{first}: {why}" + (f"; so do for {also}" if also else ""))


def _example(name: str) -> str:
    """Return a plausible unit for a variable name, for a message."""
    if name == DISCHARGE or is_precipitation(name):
        return "mm d-1"
    return "degC" if re.match(r"t(em|m[aei]|_|\d|$)", name.lower()) else "..."


def _why_unknown(unit: str) -> str | None:
    """Return the error text for a unit; None if the unit is known."""
    if unit not in _PLAIN:
        try:
            _unit(unit)
        except InputError as error:
            return str(error)
    return None


def is_amount(units: str) -> bool:
    """Return whether a unit is an amount per step.

    An amount is a depth of water or an energy per area. Amounts add up over steps.

    >>> [is_amount(units) for units in ("mm", "J m-2", "mm d-1", "W m-2", "1")]
    [True, True, False, False, False]
    """
    return any(_unit(units).dimensionality == _unit(example).dimensionality for example in ("mm", "J m-2"))


def discharge_to_depth(values: npt.ArrayLike, units: str, *, area_km2: npt.ArrayLike | None, step: np.timedelta64) -> Values:
    """Convert discharge to depth per time.

    The unit is mm d-1, or mm h-1 if the step is shorter than a day.

    Parameters
    ----------
    values
        (basin, time), NaN where missing.
    units
        Volume per time (m3 s-1, ft3 s-1, L s-1 ...), depth per time (mm d-1), mass per area and time, or depth ("mm": per step).
    area_km2
        (basin,), needed for volumes only.
    step
        Length of one time step.

    Raises
    ------
    InputError
        The unit is none of these, or the area for a volume is missing or not positive.

    Examples
    --------
    >>> discharge_to_depth([[1.0]], "m3/s", area_km2=[86.4], step=np.timedelta64(1, "D")).round(12).tolist()
    [[1.0]]
    """
    dimension, target = _unit(units).dimensionality, discharge_units(step)
    if dimension == _unit("m3 s-1").dimensionality:
        if area_km2 is None:
            raise InputError(f"discharge in {units} needs the area of the basin to become a depth; give area_km2")
        area_m2 = np.asarray(area_km2, dtype=np.float64)[:, None] * 1e6
        if not (area_m2 > 0).all():
            raise InputError(f"area_km2 is {area_m2[~(area_m2 > 0)][0] / 1e6:g}; give an area above zero")
        metres_per_second = convert(values, units, "m3 s-1") / area_m2
        return metres_per_second * (86_400e3 if target == "mm d-1" else 3_600e3)
    if dimension in (_unit("mm").dimensionality, _unit("kg m-2").dimensionality):
        per = DAY if target == "mm d-1" else np.timedelta64(1, "h")
        return convert(values, units, "mm") * (per / step)
    if dimension in (_unit("mm d-1").dimensionality, _unit("kg m-2 s-1").dimensionality):
        return convert(values, units, target)
    raise InputError(f"discharge in '{units}' is neither a volume nor a depth per time; say its unit, such as m3 s-1 or mm d-1")


@functools.cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@functools.cache
def _unit(text: str) -> Any:
    """Parse a unit by pint; '-1' behind a letter is an exponent, as in CF and UDUNITS."""
    if len(text) > LONGEST_UNIT:
        raise InputError(_UNKNOWN.format(f"{text[:LONGEST_UNIT]} ..."))
    plain = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").replace("{", "").replace("}", "").strip()
    if re.search(r"[^\w\s./*^()°%·+-]", plain):
        raise InputError(_UNKNOWN.format(text))
    if re.search(r"(?<![a-z])(months?|mon|years?|yr|a)(?![a-z])", plain.lower()):
        raise InputError(f"the unit '{text}' counts in months or years, which differ in length; convert it to a rate per day")
    plain = SPELLINGS.get(plain.lower(), plain)
    for word, meaning in WORDS.items():
        plain = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", meaning, plain)
    plain = re.sub(r"\s+per\s+", "/", plain)
    plain = re.sub(r"(?<=[A-Za-z])\^?(-?\d+)", r"**\1", plain)
    plain = re.sub(r"(?<=[\w\d])[\s.·]+(?=[A-Za-z])", " * ", plain)
    if not _is_small(plain):
        raise InputError(_UNKNOWN.format(text))
    try:
        unit = _registry().parse_units(plain.replace("°C", "degC"))
        float(_registry().Quantity(1.0, unit).to_base_units().magnitude)  # raises if a float cannot hold the unit
        return unit
    except Exception:  # pint lets many through: division by zero, overflow, a Python name
        raise InputError(_UNKNOWN.format(text)) from None


def _is_small(plain: str) -> bool:
    """Return whether every exponent is a small number, and none a power itself.

    Pint evaluates any power, without limit of time.

    >>> [_is_small(text) for text in ("m**3*s**-1", "(m/s)^2", "9**9**9", "m**(9**9)", "((9**99)**99)**99")]
    [True, True, False, False, False]
    """
    exponents = [_EXPONENT.match(plain, sign.end()) for sign in re.finditer(r"\*\*|\^", plain)]
    return all(exponents) and math.prod(max(abs(float(one[2])), 1) for one in exponents if one) <= MOST_POWER
