"""Read netCDF files and Zarr stores with any names and units into the canonical Dataset, and write it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, SOURCE, TIME
from runoff_lstm.data.readers.canonical import rename_variables, to_canonical
from runoff_lstm.data.readers.options import ReaderOptions, check_options
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.files import check_netcdf_path, check_target, write_netcdf, written_whole

WRITTEN = (".nc", ".zarr")
"""Endings that `write_dataset` supports."""


def read_netcdf(path: str | Path, gauge_ids: Sequence[str] | None = None, **options: Unpack[ReaderOptions]) -> xr.Dataset:
    """Read basins from a netCDF file or a Zarr store.

    Parameters
    ----------
    path
        File or store. Dimensions time and, for more than one basin, basin; or dimensions renamed to these by `rename`.
    gauge_ids
        Basins to read, in that order; None: all. Always text, leading zeros kept.
    **options
        See `ReaderOptions`.

    Returns
    -------
    Dataset
        Canonical: dims (basin, time), float32, canonical units, NaN the only missing value.

    Raises
    ------
    InputError
        The file is missing or damaged, a name, unit or gauge id is not found, the time axis is not regular, or a value is invalid.
        The message names it and the remedy.

    Examples
    --------
    >>> read_netcdf("catchments/leaf/leaf.nc")["discharge"].attrs["units"]  # doctest: +SKIP
    'mm d-1'
    """
    check_options("read_netcdf", options, beside=("path", "gauge_ids"))
    path = Path(path)
    with _open(path) as raw:
        renamed = _with_basins(rename_variables(raw, options.get("rename", {})), path)
        for name in options.get("units", {}):
            if name not in renamed:
                raise InputError(f"units: {path} has no variable '{name}'; {nearest(name, map(str, renamed.data_vars))}")
        called = {
            "source": "netcdf",
            "path": str(path.resolve()),
            "gauge_ids": None if gauge_ids is None else list(gauge_ids),
            **options,
        }
        called["attributes"] = str(Path(str(options["attributes"])).resolve()) if options.get("attributes") else None
        return to_canonical(renamed, options, gauge_ids=gauge_ids, called={**called, "variables": None})


def stated_units(path: Path) -> dict[str, str]:
    """Read the units stated in a file or store, by its own names of variables."""
    with _open(path) as raw:
        return {str(name): str(values.attrs["units"]) for name, values in raw.data_vars.items() if "units" in values.attrs}


def write_dataset(dataset: xr.Dataset, path: str | Path, *, force: bool = False) -> None:
    """Write a canonical Dataset as CF netCDF or Zarr, whole or not at all.

    Parameters
    ----------
    dataset
        Canonical.
    path
        The file (.nc) or store (.zarr).
    force
        Replace an existing file or store; never one that the dataset was read from.

    Raises
    ------
    InputError
        The name has another ending, the folder is not found, the file or store exists, the dataset was read from it, or the disk is
        full.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> import tempfile
    >>> rl.write_dataset(data, tempfile.mkdtemp() + "/two.nc")
    """
    as_dataset(dataset)
    path = Path(path)
    check_target(path, endings=WRITTEN, inputs=_sources(dataset), force=force)
    dataset = dataset.assign_attrs(Conventions="CF-1.11", featureType="timeSeries")
    dataset[BASIN].attrs |= {"cf_role": "timeseries_id", "long_name": "gauge id"}
    if path.suffix == ".nc":
        write_netcdf(dataset, path, encoding={str(name): {"zlib": True, "complevel": 4} for name in dataset.data_vars})
    else:
        try:
            with written_whole(path) as part:
                part.unlink()  # a store is a folder
                dataset.to_zarr(part, mode="w", consolidated=True, zarr_format=2)  # format 3 has no stable type for text
        except ImportError:
            raise InputError('Zarr needs the extra "distributed": pip install "runoff-lstm[distributed]"') from None


def _sources(dataset: xr.Dataset) -> list[str]:
    """List the files that a Dataset was read from, by our readers or by xarray."""
    called = json.loads(dataset.attrs.get(SOURCE, "{}"))
    named = [called.get("path"), called.get("attributes"), dataset.encoding.get("source")]
    return [str(one) for one in (*named, *(values.encoding.get("source") for values in dataset.variables.values())) if one]


def _open(path: Path) -> xr.Dataset:
    if not path.exists():
        near = nearest(path.name, [one.name for one in path.parent.iterdir()]) if path.parent.is_dir() else "no such folder"
        raise InputError(f"{path} is not there; {near}")
    if path.is_dir():
        _refuse_pickle(path)
    else:
        check_netcdf_path(path)
    try:
        return xr.open_zarr(path, consolidated=False) if path.is_dir() else xr.open_dataset(path, engine=_engine())
    except ImportError:
        raise InputError('Zarr needs the extra "distributed": pip install "runoff-lstm[distributed]"') from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is not a whole netCDF file or Zarr store ({error}); fetch or write it again") from None


def _refuse_pickle(store: Path) -> None:
    """Raise on a Zarr store with the codec pickle, for every installed version.

    This codec runs any code that the writer has put into the chunks.
    """
    for file in sorted(one for name in (".zarray", "zarr.json") for one in store.glob(f"*/{name}")):
        try:
            metadata = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # damaged: opening the store raises
        if any(str(codec).rpartition(".")[2] == "pickle" for codec in _codecs(metadata)):
            raise InputError(
                f"{store}: the variable '{file.parent.name}' is stored by the codec pickle, which can run any code; "
                "have it written with another one, or as netCDF"
            )


def _codecs(metadata: object) -> Iterator[object]:
    """Yield the names of all codecs in the metadata of an array, nested ones included.

    Supports Zarr formats 2 and 3.
    """
    parts = metadata.values() if isinstance(metadata, dict) else metadata if isinstance(metadata, list) else ()
    if isinstance(metadata, dict):
        yield from (metadata[key] for key in ("id", "name") if key in metadata)
    for one in parts:
        yield from _codecs(one)


def _engine() -> str:
    """Choose netCDF4 if installed, else h5netcdf."""
    engines = xr.backends.list_engines()
    return "netcdf4" if "netcdf4" in engines else "h5netcdf"


def _with_basins(raw: xr.Dataset, path: Path) -> xr.Dataset:
    """Ensure a basin dimension of gauge ids and a time dimension, or raise."""
    if TIME not in raw.dims:
        raise InputError(
            f"{path} has no dimension 'time'; {nearest('time', map(str, raw.dims))} Map it: rename = {{time = \"...\"}}"
        )
    if TIME not in raw.indexes:
        raise InputError(f"{path}: the dimension 'time' has no dates; give it a coordinate")
    if BASIN in raw.variables and BASIN not in raw.dims and raw[BASIN].ndim == 1:
        raw = raw.swap_dims({raw[BASIN].dims[0]: BASIN})
    if BASIN in raw.dims:
        if BASIN not in raw.coords and BASIN not in raw.variables:
            raise InputError(
                f"{path}: the dimension 'basin' has no gauge ids; name the variable that holds them: rename = {{basin = \"...\"}}"
            )
        return raw
    others = {str(dim) for values in raw.data_vars.values() for dim in values.dims} - {TIME}
    if others:
        raise InputError(f"{path} has no dimension 'basin' but {', '.join(sorted(others))}; map it: rename = {{basin = \"...\"}}")
    gauge_id = raw[BASIN].item() if BASIN in raw.variables else raw.attrs.get("gauge_id", path.stem)
    gauge_id = gauge_id.decode() if isinstance(gauge_id, bytes) else gauge_id
    if not isinstance(gauge_id, str):
        raise InputError(f"{path}: the gauge id {gauge_id!r} is not text, so leading zeros may be lost; write it as text")
    return raw.drop_vars(BASIN, errors="ignore").expand_dims({BASIN: [gauge_id]})
