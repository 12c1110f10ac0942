"""Read the unpacked folders of Caravan into the canonical Dataset."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import AREA, DISCHARGE
from runoff_lstm.data.readers.archive import (
    LOG,
    BasinSeries,
    Observe,
    OnMissing,
    check_on_missing,
    first_line,
    one_series,
    read_side_by_side,
    the_only,
    wanted_basins,
)
from runoff_lstm.data.readers.attributes import read_attributes
from runoff_lstm.data.readers.canonical import to_canonical
from runoff_lstm.data.readers.options import ReaderOptions
from runoff_lstm.errors import InputError, check_choice, nearest

UNITS = {
    r"snow_depth_water_equivalent_\w+": "mm",
    r"surface_net_(solar|thermal)_radiation_\w+": "W m-2",
    r"surface_pressure_\w+": "kPa",
    r"(dewpoint_)?temperature_2m_\w+": "degC",
    r"[uv]_component_of_wind_10m_\w+": "m s-1",
    r"volumetric_soil_water_layer_\d_\w+": "m3 m-3",
    r"total_precipitation_sum": "mm d-1",
    r"potential_evaporation_sum\w*": "mm d-1",
}
"""Units by the pattern of a name, from Caravan's documentation."""

TABLES = ("caravan", "hydroatlas", "other")
STREAMFLOW = "streamflow"

Form = Literal["csv", "netcdf"]

_ONE_AT_A_TIME = Lock()
"""Lock for the netCDF library, which supports one thread at a time."""


def read_caravan(
    path: str | Path,
    gauge_ids: Sequence[str] | None = None,
    *,
    form: Form | None = None,
    variables: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    on_missing: OnMissing = "refuse",
    observe: Observe | None = None,
) -> xr.Dataset:
    """Read basins from Caravan, or from any extension in its format.

    Parameters
    ----------
    path
        The folder with `timeseries` and `attributes` in it.
    gauge_ids
        Basins to read, in that order, such as "camelsch_4001"; None: all with a series.
    form
        Read the "csv" or the "netcdf" files; None: either by basin, netCDF before CSV.
    variables
        Names to keep; None: all. Caravan's `streamflow` is `discharge` here.
    units
        Units of series that are not Caravan's own, by name. Such series without a unit are left out and logged.
    on_missing
        For basins with absent or broken files: "refuse" raises, "skip" leaves them out and logs each.
    observe
        Called after every basin with the number of basins read and their total.

    Returns
    -------
    Dataset
        Canonical: dims (basin, time), daily in the gauge's local time. `discharge` in mm d-1; `area_km2` (Caravan's `area`); the
        forcing in canonical units (pressure in Pa); the numeric attributes of all three tables, NaN for basins without.

    Raises
    ------
    InputError
        A folder, file, gauge id or variable is not found, or a file is truncated. The message names it and the remedy.

    References
    ----------
    Kratzert et al. (2023), Sci. Data 10, 61, doi:10.1038/s41597-023-01975-w.
    """
    root = Path(path)
    check_on_missing(on_missing)
    if form is not None:
        check_choice("form", form, get_args(Form))
    files = _files(root, form)
    wanted = wanted_basins(gauge_ids, files)
    if not set(wanted) & set(files):
        raise InputError(f"gauge id '{wanted[0]}' has no series in {root}; {nearest(wanted[0], files)}")
    table = _attribute_table(root, {gauge_id: files[gauge_id][0].parent.name for gauge_id in wanted if gauge_id in files})
    read_one = partial(_read_basin, files=files, wanted=variables)
    options: ReaderOptions = {"variables": variables, "on_missing": on_missing}
    called = {
        "source": "caravan",
        "path": str(root.resolve()),
        "gauge_ids": None if gauge_ids is None else wanted,
        "form": form,
        "units": units,
        "on_missing": None if on_missing == "refuse" else on_missing,
    }
    return to_canonical(  # no name holds the raw data, to free each variable once converted
        _with_units(read_side_by_side(wanted, read_one, on_missing=on_missing, observe=observe), units or {}),
        options,
        gauge_ids=None,
        called=called,
        attributes=table,
    )


def _files(root: Path, form: str | None) -> dict[str, list[Path]]:
    """Find the files of every basin, netCDF before CSV."""
    folder = root / "timeseries"
    if not folder.is_dir():
        raise InputError(f"{root} has no folder timeseries; give the folder of Caravan that holds it and attributes")
    endings = {"csv": "csv", "netcdf": "nc"} if form is None else {form: "nc" if form == "netcdf" else "csv"}
    files: dict[str, list[Path]] = {}
    for kind, ending in endings.items():
        of_kind: dict[str, list[Path]] = {}
        for file in sorted((folder / kind).glob(f"*/[!.]*.{ending}")):
            of_kind.setdefault(file.stem, []).append(file)
        files |= of_kind
    if not files:
        raise InputError(f"{folder} holds no series in {' or '.join(endings)}; unpack the archive whole")
    return files


def _read_basin(gauge_id: str, *, files: Mapping[str, Sequence[Path]], wanted: Sequence[str] | None) -> BasinSeries:
    path = the_only(files, gauge_id, "series")
    days, columns = (_from_netcdf if path.suffix == ".nc" else _from_csv)(path)
    if STREAMFLOW not in columns:
        raise InputError(f"{path} has no {STREAMFLOW}; fetch it again")
    columns[DISCHARGE] = columns.pop(STREAMFLOW)
    if wanted is not None:
        columns = {name: values for name, values in columns.items() if name in wanted} or columns
    return one_series(days, columns, path)


def _from_csv(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    text = path.read_bytes()
    head, _, rows = text.partition(b"\n")
    if rows and (not rows.endswith(b"\n") or rows.count(b",") != rows.count(b"\n") * head.count(b",")):
        raise InputError(f"{path} is cut short or broken: {_first_cut(rows, head.count(b','))}; fetch it again")
    try:
        table = pd.read_csv(BytesIO(text), index_col=False, engine="c")
        days = pd.to_datetime(table.pop("date"), format="%Y-%m-%d").to_numpy().astype("datetime64[D]")
        columns = {str(name): table[name].to_numpy(np.float32) for name in table}
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a whole series of Caravan ({first_line(error)}); fetch it again") from None
    return days, columns


def _first_cut(rows: bytes, commas: int) -> str:
    """Describe the first broken row, for an error.

    It has another number of commas than the header, or the last row has no line break.
    """
    uneven = [number for number, row in enumerate(rows.splitlines(), start=2) if row.count(b",") != commas]
    return f"line {uneven[0]} has not as many cells as the header" if uneven else "its last line does not end"


def _from_netcdf(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    engines = xr.backends.list_engines()
    try:
        with _ONE_AT_A_TIME, xr.open_dataset(path, engine="netcdf4" if "netcdf4" in engines else "h5netcdf") as file:
            days = file["date"].values.astype("datetime64[D]")
            return days, {str(name): values.values.astype(np.float32) for name, values in file.data_vars.items()}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole series of Caravan ({first_line(error)}); fetch it again") from None


def _with_units(raw: xr.Dataset, given: Mapping[str, str]) -> xr.Dataset:
    """Add Caravan's and the given units.

    Series without a unit are left out and logged.
    """
    known = {**UNITS, DISCHARGE: "mm d-1", **{re.escape(name): unit for name, unit in given.items()}}
    units = {str(name): [unit for pattern, unit in known.items() if re.fullmatch(pattern, str(name))] for name in raw.data_vars}
    for name, found in units.items():
        if found:
            raw[name].attrs["units"] = found[-1]
    unknown = [name for name in units if not units[name]]
    if unknown:
        LOG.info("series of an unknown unit are left out: %s (units = {%s = ...} keeps one)", ", ".join(unknown), unknown[0])
    return raw.drop_vars(unknown)


def _attribute_table(root: Path, subsets: Mapping[str, str]) -> pd.DataFrame:
    """Join the three attribute tables of every basin's subset, index gauge ids.

    `area` becomes area_km2.
    """
    tables = []
    for subset in sorted(set(subsets.values())):
        folder = root / "attributes" / subset
        if not folder.is_dir():
            continue
        absent = [one for one in TABLES if not (folder / f"attributes_{one}_{subset}.csv").is_file()]
        if absent:
            raise InputError(f"attributes: {folder} lacks attributes_{absent[0]}_{subset}.csv; unpack the archive whole")
        tables.append(read_attributes(folder))
    table = pd.concat(tables) if tables else pd.DataFrame(index=pd.Index([], dtype=str))
    without = [gauge_id for gauge_id in subsets if gauge_id not in table.index]
    if without:
        LOG.info("no attributes are there of %s", ", ".join(without))
    return table.reindex(list(subsets)).rename(columns={"area": AREA})
