"""Read the unpacked folders of the CAMELS-US archive into the canonical Dataset."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
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
    joined,
    one_series,
    read_side_by_side,
    the_only,
    wanted_basins,
)
from runoff_lstm.data.readers.attributes import read_attributes
from runoff_lstm.data.readers.canonical import LARGEST_AREA, to_canonical
from runoff_lstm.data.readers.options import ReaderOptions
from runoff_lstm.errors import InputError, check_choice, nearest

PRODUCTS = {"daymet": "cida", "maurer": "maurer", "maurer_extended": "maurer", "nldas": "nldas"}
"""Forcing products: folder, and the word in its file names."""

ATTRIBUTES = {
    "clim": (
        "p_mean pet_mean p_seasonality frac_snow aridity high_prec_freq high_prec_dur high_prec_timing "
        "low_prec_freq low_prec_dur low_prec_timing"
    ),
    "geol": (
        "geol_1st_class glim_1st_class_frac geol_2nd_class glim_2nd_class_frac carbonate_rocks_frac geol_porostiy geol_permeability"
    ),
    "hydro": (
        "q_mean runoff_ratio slope_fdc baseflow_index stream_elas q5 q95 high_q_freq high_q_dur low_q_freq "
        "low_q_dur zero_q_freq hfd_mean"
    ),
    "name": "huc_02 gauge_name",
    "soil": (
        "soil_depth_pelletier soil_depth_statsgo soil_porosity soil_conductivity max_water_content sand_frac "
        "silt_frac clay_frac water_frac organic_frac other_frac"
    ),
    "topo": "gauge_lat gauge_lon elev_mean slope_mean area_gages2 area_geospa_fabric",
    "vege": "frac_forest lai_max lai_diff gvf_max gvf_diff dom_land_cover_frac dom_land_cover root_depth_50 root_depth_99",
}
"""Columns of the seven attribute files of version 2.0, beside gauge_id."""

ATTRIBUTE_FOLDER = "camels_attributes_v2.0"

UNITS = {"dayl": "s", "prcp": "mm d-1", "srad": "W m-2", "swe": "mm", "tmax": "degC", "tmin": "degC", "vp": "Pa"}
_WRITTEN = {"dayl": "s", "prcp": "mm/day", "srad": "w/m2", "swe": "mm", "tmax": "c", "tmin": "c", "vp": "pa"}

FLAGS = ("A", "A:e", "M")
"""Quality of a day's streamflow: approved, approved but estimated, missing."""

ESTIMATED = "discharge_estimated"

Estimated = Literal["keep", "missing"]
Files = Mapping[str, Sequence[Path]]


def read_camels_us(
    path: str | Path,
    gauge_ids: Sequence[str] | None = None,
    *,
    products: Sequence[str] | None = None,
    variables: Sequence[str] | None = None,
    attributes: str | Path | None = None,
    estimated: Estimated = "keep",
    on_missing: OnMissing = "refuse",
    observe: Observe | None = None,
) -> xr.Dataset:
    """Read basins from the CAMELS-US archive in its original folders.

    Parameters
    ----------
    path
        The folder with `basin_mean_forcing` and `usgs_streamflow` in it.
    gauge_ids
        Basins to read, in that order, leading zeros kept; None: all with a forcing file.
    products
        Any of "daymet", "maurer", "maurer_extended" and "nldas". With several, variables get a suffix: `prcp_daymet`. None: the
        only product in the folder.
    variables
        Names to keep; None: all.
    attributes
        Folder of the seven attribute files of version 2.0 (`camels_clim.txt` ...); None: `camels_attributes_v2.0` beside the
        series, if present.
    estimated
        Treatment of streamflow flagged as estimated (A:e): "keep" it, or set it to "missing".
    on_missing
        For basins with absent or truncated files or without an area: "refuse" raises, "skip" leaves them out and logs each.
    observe
        Called after every basin with the number of basins read and their total.

    Returns
    -------
    Dataset
        Canonical: dims (basin, time), daily. `discharge` in mm d-1 by the area in the forcing file; `area_km2`; the forcing in the
        archive's units; numeric static attributes. The coordinate `discharge_estimated` (basin,) counts the days of the record
        with the flag A:e. The time axis spans the forcing; days not in a file are NaN.

    Raises
    ------
    InputError
        A folder, file, gauge id or variable is not found, or a file is truncated or has invalid content. The message names it and
        the remedy.

    References
    ----------
    Newman et al. (2015), Hydrol. Earth Syst. Sci. 19, 209-223, doi:10.5194/hess-19-209-2015.
    Addor et al. (2017), Hydrol. Earth Syst. Sci. 21, 5293-5313, doi:10.5194/hess-21-5293-2017.
    """
    root = Path(path)
    check_on_missing(on_missing)
    check_choice("estimated", estimated, get_args(Estimated))
    names = _products(root, products)
    forcing = {name: _files(root / "basin_mean_forcing" / name, f"_lump_{PRODUCTS[name]}_forcing_leap.txt") for name in names}
    wants_discharge = variables is None or DISCHARGE in variables
    flow = _files(root / "usgs_streamflow", "_streamflow_qc.txt") if wants_discharge else None
    known = {gauge_id for files in forcing.values() for gauge_id in files}
    wanted = wanted_basins(gauge_ids, known)
    _check_known(wanted, known, root)
    folder = Path(attributes) if attributes is not None else root / ATTRIBUTE_FOLDER
    table = _attribute_table(folder, required=attributes is not None)
    read_one = partial(_read_basin, forcing=forcing, flow=flow, estimated=estimated, wanted=variables)
    options: ReaderOptions = {"variables": variables, "on_missing": on_missing}
    called = {
        "source": "camels_us",
        "path": str(root.resolve()),
        "gauge_ids": None if gauge_ids is None else wanted,
        "products": list(names),
        "attributes": attributes and str(Path(attributes).resolve()),
        "estimated": None if estimated == "keep" else estimated,
        "on_missing": None if on_missing == "refuse" else on_missing,
    }
    return to_canonical(  # no name holds the raw data, to free each variable once converted
        _with_units(read_side_by_side(wanted, read_one, on_missing=on_missing, observe=observe), names),
        options,
        gauge_ids=None,
        called=called,
        attributes=table,
    )


def _products(root: Path, products: Sequence[str] | None) -> list[str]:
    """Return the requested products, or the only one in the folder."""
    folder = root / "basin_mean_forcing"
    if not folder.is_dir():
        raise InputError(f"{root} has no folder basin_mean_forcing; give the folder of CAMELS-US that holds it and usgs_streamflow")
    there = [name for name in PRODUCTS if (folder / name).is_dir()]
    if products is None:
        if len(there) != 1:
            found = ", ".join(there) or "none of " + ", ".join(PRODUCTS)
            raise InputError(f'{folder} has {found}; say which: products = ["{there[0] if there else "daymet"}"]')
        return there
    for name in products:
        if name not in there:
            raise InputError(f"the forcing product '{name}' is not in {folder}; {nearest(name, there)}")
    if not products or len(set(products)) < len(products):
        raise InputError(f"products = {list(products)}: name each product once, at least one")
    return list(products)


def _files(folder: Path, ending: str) -> dict[str, list[Path]]:
    """Find the files of a folder and its subfolders, by gauge id."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not there; unpack the archive whole, or leave out what is read from it")
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob(f"*{ending}")):
        if not file.name.startswith("."):  # hidden companion files of other systems
            files.setdefault(file.name.removesuffix(ending), []).append(file)
    if not files:
        raise InputError(f"{folder} holds no file ...{ending}; unpack the archive whole")
    return files


def _check_known(wanted: Sequence[str], known: Collection[str], root: Path) -> None:
    for gauge_id in wanted:
        if gauge_id not in known and gauge_id.zfill(8) in known:
            raise InputError(f"gauge id '{gauge_id}' has lost its leading zero; write it as text, '{gauge_id.zfill(8)}'")
    if not set(wanted) & set(known):
        raise InputError(f"none of the gauge ids ({', '.join(wanted[:3])} ...) has a forcing file in {root}; check the list")


def _with_units(raw: xr.Dataset, products: Sequence[str]) -> xr.Dataset:
    """Add the archive's units, and turn the count of estimated days into a coordinate."""
    plain = {**UNITS, DISCHARGE: "ft3 s-1", AREA: "km2"}
    units = {**plain, **{f"{name}_{product}": unit for name, unit in UNITS.items() for product in products}}
    for name in map(str, raw.data_vars):
        if name in units:
            raw[name].attrs["units"] = units[name]
    return raw.assign_coords({ESTIMATED: raw[ESTIMATED].astype(int)}) if ESTIMATED in raw else raw


def _read_basin(
    gauge_id: str,
    *,
    forcing: Mapping[str, Files],
    flow: Files | None,
    estimated: str,
    wanted: Sequence[str] | None,
) -> BasinSeries:
    whole: BasinSeries | None = None
    for product, files in forcing.items():
        one = _read_forcing(the_only(files, gauge_id, f"{product} forcing file"))
        columns = {name if len(forcing) == 1 else f"{name}_{product}": values for name, values in one.columns.items()}
        if wanted is not None:
            columns = {name: values for name, values in columns.items() if name in wanted} or columns
        one = BasinSeries(one.first, columns, one.fixed)
        whole = one if whole is None else _over_both(whole, one)
    assert whole is not None  # there is at least one product
    if flow is None:
        return whole
    both = joined(whole, _read_flow(the_only(flow, gauge_id, "streamflow file"), gauge_id, estimated))
    columns = {name: values for name, values in both.columns.items() if name != ESTIMATED}
    return BasinSeries(both.first, columns, {**both.fixed, ESTIMATED: float(np.nansum(both.columns[ESTIMATED]))})


def _over_both(one: BasinSeries, other: BasinSeries) -> BasinSeries:
    """Join two products over the union of their days."""
    first, last = min(one.first, other.first), max(one.last, other.last)
    nothing = {"": np.zeros(int((last - first) / np.timedelta64(1, "D")) + 1, np.float32)}
    span = joined(joined(BasinSeries(first, nothing), other), one)
    return BasinSeries(first, {name: values for name, values in span.columns.items() if name}, one.fixed)


def _read_forcing(path: Path) -> BasinSeries:
    """Read the forcing by variable, and the area from the third line."""
    with path.open(encoding="ascii", errors="replace") as file:
        head = [file.readline() for _ in range(4)]
    names = re.split(r"\s+", head[3].replace("\t", " ").strip())
    if len(names) < 5 or [name.lower()[:4] for name in names[:4]] != ["year", "mnth", "day", "hr"]:
        raise InputError(f"{path} has no line of column names in its fourth line; fetch it again")
    table = _table(path, names, skip=4)
    columns = {}
    for heading in names[4:]:
        name, _, units = heading.lower().rstrip(")").partition("(")
        if name not in _WRITTEN:
            raise InputError(f"{path} has the column {heading}, which is none of CAMELS-US; fetch the archive's own file")
        if units != _WRITTEN[name]:
            raise InputError(f"{path} has {name} in {units}, not in {_WRITTEN[name]}; fetch the archive's own file")
        columns[name] = table[heading].to_numpy(np.float32)
    return one_series(_days(table, names[:3], path), columns, path, {AREA: _area(head[2], path)})


def _area(line: str, path: Path) -> float:
    try:
        area = float(line) / 1e6
    except ValueError:
        raise InputError(f"{path} has no area in its third line but {line.strip()!r}; fetch it again") from None
    if not 0 < area <= LARGEST_AREA:
        raise InputError(f"{path} states an area of {area:g} km2 in its third line; correct it")
    return area


def _read_flow(path: Path, gauge_id: str, estimated: str) -> BasinSeries:
    """Read discharge in ft3 s-1, and a column with 1 on estimated days, else 0.

    Missing days (flag M, -999) keep the marker -999, for a later count.
    """
    table = _table(path, ["gauge", "year", "month", "day", "discharge", "flag"], skip=0, text=("gauge", "flag"))
    strangers = table["gauge"] != gauge_id
    if strangers.any():
        raise InputError(f"{path} holds rows of gauge {table['gauge'][strangers].iloc[0]}; fetch it again")
    flag = table["flag"]
    unknown = set(flag.unique()) - set(FLAGS)
    if unknown:
        raise InputError(f"{path} has the quality flag '{min(unknown)}'; {', '.join(FLAGS)} are known")
    is_estimate = (flag == "A:e").to_numpy()
    missing = (flag == "M").to_numpy() | (is_estimate if estimated == "missing" else False)
    discharge = np.where(missing, -999.0, table["discharge"].to_numpy(np.float64)).astype(np.float32)
    days = _days(table, ["year", "month", "day"], path)
    return one_series(days, {DISCHARGE: discharge, ESTIMATED: is_estimate.astype(np.float32)}, path)


def _table(path: Path, names: Sequence[str], *, skip: int, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read the rows of a file; raise if one is truncated, too long or not numeric."""
    with path.open(encoding="latin-1") as file:
        cells = len(next(islice(file, skip, None), "").split())
    if cells > len(names):  # pandas would drop surplus cells of the first row with a warning
        raise InputError(f"{path}, line {skip + 1}: the row has {cells} cells, not {len(names)}; fetch it again")
    types = {name: str if name in text else np.float64 for name in names}
    try:
        table = pd.read_csv(
            path,
            sep=r"\s+",
            skiprows=skip,
            header=None,
            names=list(names),
            dtype=types,
            index_col=False,
            engine="c",
            encoding="latin-1",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputError(f"{path} is not whole ({first_line(error)}); fetch it again") from None
    if table.empty:
        raise InputError(f"{path} holds no row; fetch it again")
    cut = table.isna().any(axis=1).to_numpy()
    if cut.any():
        raise InputError(f"{path} is cut short or broken at line {skip + 1 + int(np.argmax(cut))}; fetch it again")
    if _ends_within_a_number(path):
        raise InputError(f"{path} ends in the middle of a number; fetch it again")
    return table


def _ends_within_a_number(path: Path) -> bool:
    """Return whether a file ends without line break in a number with too few decimals."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 400, 0))
        tail = file.read().decode("latin-1")
    if tail.endswith("\n"):
        return False
    *_, before, last = ["", "", *(line.split()[-1] for line in tail.splitlines() if line.strip())]
    return len(last.partition(".")[2]) < len(before.partition(".")[2])


def _days(table: pd.DataFrame, names: Sequence[str], path: Path) -> np.ndarray:
    year, month, day = (table[name].to_numpy().astype(np.int64) for name in names)
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
    days: np.ndarray = months.astype("datetime64[D]") + (day - 1)
    wrong = (month < 1) | (month > 12) | (day < 1) | (days.astype("datetime64[M]") != months)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"{path} has the date {year[at]}-{month[at]:02d}-{day[at]:02d}, which does not exist; fetch it again")
    return days


def _attribute_table(folder: Path, *, required: bool) -> pd.DataFrame | None:
    """Read the seven attribute files into one table, index gauge ids.

    None if the files are absent and not required.
    """
    if not folder.is_dir():
        if required:
            raise InputError(f"attributes: the folder {folder} is not there; give the folder of camels_clim.txt and the other six")
        LOG.info("%s is not there: no static attributes are read", folder)
        return None
    absent = [f"camels_{part}.txt" for part in ATTRIBUTES if not (folder / f"camels_{part}.txt").is_file()]
    if absent:
        there = ", ".join(sorted(one.name for one in folder.iterdir())[:8]) or "nothing"
        raise InputError(
            f"attributes: {folder} lacks {', '.join(absent)} (it has {there}); fetch version 2.0 of the attributes, whole"
        )
    for part, columns in ATTRIBUTES.items():
        _check_version(folder / f"camels_{part}.txt", columns.split())
    return read_attributes(folder)


def _check_version(path: Path, columns: Sequence[str]) -> None:
    """Raise on an attribute file with column names other than those of version 2.0."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first, *others = file.readline().strip().split(";")
    unknown = [name for name in others if name not in columns]
    absent = [name for name in columns if name not in others]
    if first != "gauge_id":
        raise InputError(
            f"attributes: {path} begins with '{first}', not with the column gauge_id; fetch version 2.0 of the attributes"
        )
    if unknown and absent:
        raise InputError(
            f"attributes: {path} has the column '{unknown[0]}' and lacks '{absent[0]}'; fetch version 2.0 of the attributes, whole"
        )
