"""Check of arguments that must be a Dataset."""

import os

import pandas as pd
import xarray as xr

from runoff_lstm.errors import InputError


def as_dataset(value: object, name: str = "dataset") -> xr.Dataset:
    """Return a Dataset unchanged; raise on anything else.

    For a path, a table or a single variable the error names the call that makes a Dataset of it.
    """
    if isinstance(value, xr.Dataset):
        return value
    match value:
        case str() | os.PathLike():
            remedy = f'read it first: {name} = rl.read_netcdf("{value}"), or the reader of its kind in rl.READERS'
        case pd.DataFrame() | pd.Series():
            remedy = "write it as CSV and read it with rl.read_csv, or convert it with .to_xarray() to dims (basin, time)"
        case xr.DataArray():
            remedy = "give the whole Dataset, or convert it with .to_dataset(name=...)"
        case _:
            remedy = "read one with rl.read_netcdf, rl.read_csv or another reader in rl.READERS"
    raise InputError(f"{name} is a {type(value).__name__}, not an xarray Dataset; {remedy}")
