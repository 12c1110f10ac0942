"""Read data files into the canonical Dataset: one reader per source."""

from runoff_lstm.data.readers.archive import OnMissing, check_on_missing, leave_out
from runoff_lstm.data.readers.camels_us import read_camels_us
from runoff_lstm.data.readers.caravan import read_caravan
from runoff_lstm.data.readers.csv import CsvForm, read_csv
from runoff_lstm.data.readers.netcdf import WRITTEN, read_netcdf, stated_units, write_dataset
from runoff_lstm.data.readers.sources import READERS, SOURCES, Source, source_of

__all__ = [
    "READERS",
    "SOURCES",
    "WRITTEN",
    "CsvForm",
    "OnMissing",
    "Source",
    "check_on_missing",
    "leave_out",
    "read_camels_us",
    "read_caravan",
    "read_csv",
    "read_netcdf",
    "source_of",
    "stated_units",
    "write_dataset",
]
