"""Read CSV files, one per gauge or one for all, into the canonical Dataset."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import AREA, BASIN, TIME
from runoff_lstm.data.readers.archive import check_gauge_ids
from runoff_lstm.data.readers.canonical import mend_times, to_canonical
from runoff_lstm.data.readers.markers import MARKERS, markers_of
from runoff_lstm.data.readers.options import ReaderOptions, check_options
from runoff_lstm.data.times import step_label, time_step, times_of
from runoff_lstm.errors import InputError, as_text, check_choice, nearest

TIME_NAMES = ("time", "date", "datetime", "timestamp", "day")
SEPARATORS = ",;\t"
EMPTY = ("", "NaN", "nan", "NA")


@dataclass(frozen=True)
class CsvForm:
    """Format of a CSV file.

    Attributes
    ----------
    separator
        Separator of cells; None: the most frequent of comma, semicolon and tab in the first line.
    decimal
        Decimal point or comma.
    encoding
        Encoding of the text; a byte-order mark is allowed.
    date_format
        Format for strptime; None: ISO 8601 only, other forms are not guessed.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.CsvForm(separator=";", decimal=",").decimal
    ','
    """

    separator: str | None = None
    decimal: str = "."
    encoding: str = "utf-8-sig"
    date_format: str | None = None

    def __post_init__(self) -> None:
        for name in ("separator", "encoding", "date_format"):
            if name == "encoding" or getattr(self, name) is not None:
                as_text(f"csv: {name}", getattr(self, name))
        check_choice("csv: decimal", self.decimal, (".", ","))
        if self.separator is not None and len(self.separator) != 1:
            raise InputError(f"csv: separator = {self.separator!r} must be one character")


def read_csv(
    path: str | Path,
    gauge_ids: Sequence[str] | None = None,
    *,
    csv: CsvForm | Mapping[str, Any] | None = None,
    **options: Unpack[ReaderOptions],
) -> xr.Dataset:
    r"""Read basins from CSV files: one row per time step, one column per variable.

    Parameters
    ----------
    path
        A folder with one file per gauge, or one file with an optional column `basin` of gauge ids. In a folder, the file name is
        the gauge id (`01013500.csv`); `attributes.csv` is not read as a series.
    gauge_ids
        Basins to read, in that order; None: all. Always text, leading zeros kept.
    csv
        Format of the files.
    **options
        See `ReaderOptions`. The time column is the one renamed to "time" by `rename`, else one named time, date, datetime,
        timestamp or day.

    Returns
    -------
    Dataset
        Canonical: dims (basin, time), float32, canonical units, NaN the only missing value. Shorter records are padded with NaN.

    Raises
    ------
    InputError
        A file, column, gauge id or unit is not found; a cell is not a number (with file, line and column); a date is duplicate or
        not ISO 8601; a file is empty or in another encoding.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import runoff_lstm as rl
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "01013500.csv"
    >>> _ = file.write_text("date,rain,discharge\n2000-01-01,3.5,1.0\n2000-01-02,0.0,0.8\n")
    >>> data = rl.read_csv(file, units={"rain": "mm d-1", "discharge": "mm d-1"})
    >>> data["basin"].values.tolist()
    ['01013500']
    """
    check_options("read_csv", options, beside=("path", "gauge_ids", "csv"))
    path = Path(path)
    given = {} if csv is None else dict(csv) if isinstance(csv, Mapping) else vars(csv)
    form = _form(given)
    tables = _tables(path, gauge_ids, form, options)
    columns = list(dict.fromkeys(str(column) for table in tables.values() for column in table))
    for gauge_id, table in tables.items():
        absent = [column for column in columns if column not in table]
        if absent:
            raise InputError(
                f"basin {gauge_id}: its file has no column '{absent[0]}', which others have; {nearest(absent[0], map(str, table))}"
            )
    raw = _stack({gauge_id: _regular(gauge_id, table, mend=options.get("mend_time", False)) for gauge_id, table in tables.items()})
    asked = None if gauge_ids is None else list(gauge_ids)
    called = {"source": "csv", "path": str(path.resolve()), "gauge_ids": asked, "csv": given, **options}
    called["attributes"] = str(Path(str(options["attributes"])).resolve()) if options.get("attributes") else None
    return to_canonical(raw, options, gauge_ids=gauge_ids, called={**called, "variables": None})


def _form(given: Mapping[str, Any]) -> CsvForm:
    known = [field.name for field in fields(CsvForm)]
    for name in given:
        if name not in known:
            raise InputError(f"csv has no setting '{name}'; {nearest(name, known)}")
    return CsvForm(**given)


def _tables(path: Path, gauge_ids: Sequence[str] | None, form: CsvForm, options: ReaderOptions) -> dict[str, pd.DataFrame]:
    """Read one table of numbers per gauge, index time."""
    if not path.exists():
        near = nearest(path.name, [one.name for one in path.parent.iterdir()]) if path.parent.is_dir() else "no such folder"
        raise InputError(f"{path} is not there; {near}")
    if path.is_file():
        text = _read_text(path, form, options)
        if BASIN not in text:
            return {path.stem: _numbers(text, path, form, options)}
        return {str(gauge_id): _numbers(rows.drop(columns=BASIN), path, form, options) for gauge_id, rows in text.groupby(BASIN)}
    files = {one.stem: one for one in sorted(path.glob("*.csv")) if one.name != "attributes.csv"}
    if not files:
        raise InputError(f"{path} holds no CSV file; give a folder with one file a gauge, or one file")
    if gauge_ids is not None:
        check_gauge_ids(gauge_ids)
    for gauge_id in () if gauge_ids is None else gauge_ids:
        if gauge_id not in files:
            raise InputError(f"gauge id '{gauge_id}' has no file in {path}; {nearest(str(gauge_id), files)}")
    wanted = files if gauge_ids is None else {gauge_id: files[gauge_id] for gauge_id in gauge_ids}
    return {gauge_id: _numbers(_read_text(file, form, options), file, form, options) for gauge_id, file in wanted.items()}


def _read_text(path: Path, form: CsvForm, options: ReaderOptions) -> pd.DataFrame:
    """Read the cells of a file as text, with renamed columns.

    The index is the row, counted from 0.
    """
    try:
        lines = _lines(path, form)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not {form.encoding.removesuffix('-sig')} text (byte {error.start} is 0x{error.object[error.start]:02x}); "
            'say its encoding: csv = {encoding = "latin-1"}'
        ) from None
    except LookupError:
        raise InputError(f"the encoding '{form.encoding}' is not known; utf-8 and latin-1 are") from None
    if not lines:
        raise InputError(f"{path} is empty; fetch it again or leave its gauge out")
    separator = form.separator or max(SEPARATORS, key=lines[0][1].count)
    header, *rows = csv.reader((line for _, line in lines), delimiter=separator)
    names = [name.strip() for name in header]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path} has the column '{twice[0]}' twice; keep one")
    if not rows:
        raise InputError(f"{path} has a header and no rows; fetch it again or leave its gauge out")
    uneven = next((number for number, row in enumerate(rows) if len(row) != len(names)), None)
    if uneven is not None:
        raise InputError(
            f"{path}, line {_line(path, form, uneven)}: the row has {len(rows[uneven])} cells separated by {separator!r}, the "
            f"header {len(names)}; correct it, fetch the file again, or say csv = {{separator = ...}}"
        )
    text = pd.DataFrame(rows, columns=names, dtype=str)
    return _rename(text, path, options.get("rename", {}))


def _rename(text: pd.DataFrame, path: Path, rename: Mapping[str, str]) -> pd.DataFrame:
    columns = [str(column) for column in text]
    for ours, theirs in rename.items():
        if theirs not in columns:
            raise InputError(f"{path} has no column '{theirs}' to call '{ours}'; {nearest(theirs, columns)}")
        if ours in columns and ours not in rename.values():
            raise InputError(f"{path} has both '{theirs}' and '{ours}'; rename the other one too, or leave this out")
    text = text.rename(columns={theirs: ours for ours, theirs in rename.items()})
    if TIME not in text:
        found = [str(column) for column in text if str(column).lower() in TIME_NAMES]
        if {"year", "month"} <= {str(column).lower() for column in text}:
            raise InputError(f"{path} has its dates in several columns, such as year and month; join them into one: 1999-10-01")
        if len(found) != 1:
            raise InputError(
                f'{path} has no column of dates ({", ".join(columns[:8])}); name it: rename = {{time = "..."}}, '
                "or say which files to read by gauge_ids"
            )
        text = text.rename(columns={found[0]: TIME})
    return text


def _numbers(text: pd.DataFrame, path: Path, form: CsvForm, options: ReaderOptions) -> pd.DataFrame:
    """Convert cells to numbers, missing ones to NaN, index time.

    Any other cell raises an error with its line.
    """
    wanted = options.get("variables")
    for name in wanted or ():
        if name not in text and not options.get("attributes"):
            hint = nearest(name, map(str, text.columns.drop(TIME)))
            raise InputError(
                f"{path} has no column '{name}'; {hint} (rename = {{{name} = \"...\"}} maps another name; an attribute may come "
                'from a table, attributes = "...")'
            )
    times = _times(text[TIME], path, form)
    markers = [str(one).strip() for one in markers_of(options)]
    columns = {}
    for name in text.columns.drop(TIME):
        if wanted is not None and name not in (*wanted, "area_km2"):
            continue
        cells = text[name].str.strip()
        marked = cells.isin(markers)
        absent = cells.isin(EMPTY)
        cells = cells.mask(marked, f"{MARKERS[0]:g}")  # counted and logged with numeric markers
        if form.decimal != ".":
            cells = cells.mask(cells.str.contains(".", regex=False) & ~marked, "a point")  # thousands or decimals: ambiguous
            cells = cells.str.replace(form.decimal, ".", regex=False)
        numbers = pd.to_numeric(cells.mask(absent), errors="coerce")
        wrong = numbers.isna() & ~absent
        if wrong.any():
            _refuse_cell(
                path, str(name), text[name][wrong].iloc[0], line=_line(path, form, int(text.index[int(wrong.to_numpy().argmax())]))
            )
        columns[name] = numbers.to_numpy(np.float64)
    return pd.DataFrame(columns, index=times)


def _refuse_cell(path: Path, name: str, cell: str, *, line: int) -> None:
    if cell.count(",") == 1 and cell.replace(",", "").strip("-").isdigit():
        remedy = 'if it is a decimal comma, say csv = {decimal = ","}'
    else:
        remedy = f'correct it, or add missing = ["{cell}"]'
    raise InputError(f"{path}, line {line}, column '{name}': '{cell}' is not a number; {remedy}")


def _line(path: Path, form: CsvForm, row: int) -> int:
    """Return the line in the file for a row of its table."""
    return _lines(path, form)[row + 1][0]


def _lines(path: Path, form: CsvForm) -> list[tuple[int, str]]:
    """Read the lines that are neither empty nor a comment, with their numbers from 1."""
    lines = path.read_text(encoding=form.encoding).splitlines()
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and line[0] != "#"]


def _times(cells: pd.Series, path: Path, form: CsvForm) -> pd.DatetimeIndex:
    zoned = cells.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True) & cells.str.contains(r"[T ]\d\d:")
    if zoned.any():
        raise InputError(
            f"{path}: the time '{cells[zoned].iloc[0]}' carries a time zone; write all times in one time, without a zone"
        )
    if "%z" in (form.date_format or "").lower():
        raise InputError(f"csv: date_format {form.date_format} has a time zone; write all times in one time, without a zone")
    empty = int((cells.str.strip() == "").sum())
    if empty:
        raise InputError(f"{path} has {empty} row(s) without a date; drop them")
    try:
        return pd.DatetimeIndex(pd.to_datetime(cells.str.strip(), format=form.date_format or "ISO8601")).as_unit("ns")
    except (ValueError, OverflowError) as error:
        if "directive" in str(error):
            raise InputError(f"csv: date_format {form.date_format!r} is no strptime format ({error})") from None
        parsed = pd.to_datetime(cells.str.strip(), format=form.date_format or "ISO8601", errors="coerce")
        cell = cells[parsed.isna()].iloc[0]
        remedy = 'write dates as 1999-10-01, or say csv = {date_format = "%d/%m/%Y"}'
        raise InputError(f"{path}: '{cell}' is not a date of the form {form.date_format or 'ISO 8601'}; {remedy}") from None


def _regular(gauge_id: str, table: pd.DataFrame, *, mend: bool) -> pd.DataFrame:
    """Check the time axis of a table; with `mend`, clean it first."""
    rows = xr.Dataset({name: ((TIME,), table[name].to_numpy()) for name in table}, coords={TIME: table.index})
    try:
        rows = mend_times(rows) if mend else rows
        time_step(times_of(rows))
    except InputError as error:
        raise InputError(f"basin {gauge_id}: {error}") from None
    return pd.DataFrame({name: values.values for name, values in rows.data_vars.items()}, index=times_of(rows))


def _stack(tables: Mapping[str, pd.DataFrame]) -> xr.Dataset:
    """Stack tables of the same step to (basin, time), over the union of their spans."""
    first, *others = tables
    step = time_step(pd.DatetimeIndex(tables[first].index))
    for gauge_id in others:
        its_step = time_step(pd.DatetimeIndex(tables[gauge_id].index))
        if its_step != step:
            raise InputError(
                f"basin {gauge_id} has a step of {step_label(its_step)}, basin {first} one of {step_label(step)}; "
                "read them apart, or resample"
            )
    begin, end = min(table.index[0] for table in tables.values()), max(table.index[-1] for table in tables.values())
    times = pd.date_range(begin, end, freq=pd.Timedelta(step))
    misplaced = [gauge_id for gauge_id, table in tables.items() if not table.index.isin(times).all()]
    if misplaced:
        raise InputError(f"basin {misplaced[0]}: its rows lie between the time steps of the others; shift them to the same times")
    aligned = [table.reindex(times) for table in tables.values()]
    variables: dict[str, Any] = {
        str(name): ((BASIN, TIME), np.stack([table[name].to_numpy() for table in aligned])) for name in tables[first]
    }
    if AREA in variables:
        variables[AREA] = ((BASIN,), [_one_area(gauge_id, table[AREA]) for gauge_id, table in tables.items()])
    return xr.Dataset(variables, coords={BASIN: list(tables), TIME: times})


def _one_area(gauge_id: str, areas: pd.Series) -> float:
    if areas.nunique() != 1:
        raise InputError(f"basin {gauge_id}: the column {AREA} has {areas.nunique()} values; a basin has one area")
    return float(areas.dropna().iloc[0])
