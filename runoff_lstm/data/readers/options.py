"""Options shared by the readers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from runoff_lstm.data.readers.archive import OnMissing, check_on_missing
from runoff_lstm.errors import check_keywords


class ReaderOptions(TypedDict, total=False):
    """Options of a reader beside the path and the gauge ids.

    Attributes
    ----------
    variables
        Names (after renaming) to keep; left out: all. `area_km2` is kept if present.
    rename
        New name to name in the files: `{"discharge": "QObs", "time": "date", "basin": "gauge"}` reads QObs as discharge.
    units
        Unit of a variable in the files, by its name after renaming; overrides the unit stated in the files.
    area_km2
        Area by gauge id, or one area for all basins, for discharge in m3 s-1 and the like. Left out: `area_km2` of the data, else
        of the attributes.
    missing
        Further markers of missing values, text or numbers, beside NaN, empty cells, -999, -9999 and -99999.
    attributes
        CSV file of static attributes: the first column (or `gauge_id`) is the gauge id, each other column an attribute. Or a folder
        of such files; their columns are joined.
    on_missing
        For gauge ids not in the data and basins not in the attributes: "refuse" (the default) raises, "skip" leaves them out and
        logs each.
    mend_time
        Sort the rows, drop equal duplicates, and add missing rows as NaN. Without it, such a time axis raises an error.

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
"""Types of `ReaderOptions` in the `[data]` table of an experiment file, except options of every source."""


def check_options(where: str, options: Mapping[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Raise on an unknown keyword of a reader and on an unknown `on_missing`.

    Known are the keys of `ReaderOptions` and the reader's own in `beside`.
    """
    check_keywords(where, options, [*beside, *ReaderOptions.__annotations__])
    check_on_missing(options.get("on_missing", "refuse"))
