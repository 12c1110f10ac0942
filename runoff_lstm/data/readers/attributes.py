"""Read tables of static attributes, one row per basin, and join them to the series."""

import csv
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN
from runoff_lstm.data.readers.archive import OnMissing, leave_out
from runoff_lstm.errors import InputError, nearest

LOG = logging.getLogger("runoff_lstm")


def read_attributes(path: Path) -> pd.DataFrame:
    """Read static attributes from a text table, or from all tables of a folder.

    In a folder, tables (.csv, .txt) with a first column `gauge_id` are joined. The result has gauge ids as text in its index and
    numeric columns. Other columns are left out and logged.
    """
    if not path.is_dir():
        return _read_attribute_file(path)
    files = sorted(file for ending in ("csv", "txt") for file in path.glob(f"*.{ending}"))
    tables = [_read_attribute_file(file) for file in files if _first_line(file).lstrip().startswith("gauge_id")]
    if not tables:
        raise InputError(f"attributes: {path} holds no table whose first column is gauge_id; give the folder of the tables")
    columns = [str(name) for table in tables for name in table]
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise InputError(f"attributes: two tables of {path} have the column '{twice[0]}'; keep one")
    return pd.concat(tables, axis=1)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return lines.readline()


def _read_attribute_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        near = nearest(path.name, [one.name for one in path.parent.glob("*.csv")]) if path.parent.is_dir() else "no such folder"
        raise InputError(f"attributes: {path} is not there; {near}")
    try:
        separator = max(",;\t", key=_first_line(path).count)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # raised on rows longer than the header
            table = pd.read_csv(path, dtype=str, sep=separator, encoding="utf-8-sig", index_col=False)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path} is not a table in UTF-8 text ({str(error).strip()}); write it again as CSV") from None
    _refuse_short_rows(path, separator)
    column = next((name for name in ("gauge_id", BASIN) if name in table), table.columns[0])
    table = table.set_index(column)
    if table.index.has_duplicates:
        raise InputError(f"{path}: gauge id '{table.index[table.index.duplicated()][0]}' is there twice; keep one row")
    numbers = table.apply(pd.to_numeric, errors="coerce")
    text = [str(name) for name in table if (numbers[name].isna() & table[name].notna()).any()]
    if text:
        LOG.info("%s: columns that are not numbers are left out: %s", path.name, ", ".join(text))
    attributes: pd.DataFrame = numbers.drop(columns=text)
    return attributes


def _refuse_short_rows(path: Path, separator: str) -> None:
    """Raise on a row with fewer cells than the header.

    Incomplete downloads typically end in such a row.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        width = 0
        for row in rows:
            if row and len(row) < width:
                raise InputError(
                    f"{path}, line {rows.line_num}: the row has {len(row)} cells, the header {width}; correct it, or fetch it again"
                )
            width = width or len(row)


def join_attributes(raw: xr.Dataset, table: pd.DataFrame, *, on_missing: OnMissing) -> xr.Dataset:
    """Add the columns of an attribute table to the data.

    Variables already in the data are kept.
    """
    absent = [gauge_id for gauge_id in raw[BASIN].values.tolist() if gauge_id not in table.index]
    leave_out([f"basin {one} has no row among the attributes; {_row_hint(one, table)}" for one in absent], on_missing=on_missing)
    raw = raw.drop_sel({BASIN: absent}) if absent else raw
    rows = table.loc[raw[BASIN].values.tolist()]
    return raw.assign({str(name): ((BASIN,), rows[name].to_numpy(np.float64)) for name in rows if name not in raw})


def _row_hint(gauge_id: str, table: pd.DataFrame) -> str:
    if gauge_id.lstrip("0") in table.index:
        return f"it has '{gauge_id.lstrip('0')}', without the leading zero: write the ids as text"
    return nearest(gauge_id, table.index)
