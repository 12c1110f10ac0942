"""The options that every reader takes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from runoff_lstm.data.readers.archive import OnMissing, check_on_missing
from runoff_lstm.errors import check_keywords


class ReaderOptions(TypedDict, total=False):
    """What every reader takes beside the path and the gauge ids.

    Attributes
    ----------
    variables
        Names (after renaming) to keep; left out: all. `area_km2` is kept where it is there.
    rename
        Name to have by the name in the files: `{"discharge": "QObs", "time": "date", "basin": "gauge"}` has QObs as discharge.
    units
        Unit that the files have a variable in, by its name after renaming; takes the place of what the files say.
    area_km2
        Area of each basin by gauge id, or of all of them, for discharge in m3 s-1 and the like; left out: `area_km2` of the data,
        else of the attributes.
    missing
        Further markers of missing values, text or numbers, beside NaN, empty cells, -999, -9999 and -99999.
    attributes
        CSV file of static attributes: the first column (or `gauge_id`) is the gauge id, each other column an attribute; or a folder
        of such files, whose columns are joined.
    on_missing
        "refuse" (as when left out) a gauge id that the data do not have and a basin that the attributes do not have, or "skip" such
        basins, told one by one.
    mend_time
        Sort the rows, drop repeated equal ones, and add missing ones as NaN, where the time axis would else be refused.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> options: rl.ReaderOptions = {"units": {"discharge": "m3 s-1"}, "area_km2": 1944.0}
    >>> sorted(options)
    ['area_km2', 'units']
    """

    variables: Sequence[str] | None
    rename: Mapping[str, str]
    units: Mapping[str, str]
    area_km2: Mapping[str, float] | float | None
    missing: Sequence[float | str]
    attributes: str | Path | None
    on_missing: OnMissing
    mend_time: bool


SHARED_OPTIONS: dict[str, Any] = {
    "attributes": str,
    "rename": dict[str, str],
    "units": dict[str, str],
    "area_km2": dict[str, float] | float,
    "missing": list[float | str],
    "mend_time": bool,
}
"""Type of each of `ReaderOptions` in the `[data]` table of an experiment file, but for those that every source takes."""


def check_options(where: str, options: Mapping[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Refuse a keyword that is neither of `ReaderOptions` nor of the reader itself, and an unknown `on_missing`."""
    check_keywords(where, options, [*beside, *ReaderOptions.__annotations__])
    check_on_missing(options.get("on_missing", "refuse"))
