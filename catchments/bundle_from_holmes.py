"""Make the bundled catchments from the wheel of holmes-hydro 3.5.0 (MIT), which carries their observations as CSV.

pip download --no-deps holmes-hydro==3.5.0
python catchments/bundle_from_holmes.py holmes_hydro-3.5.0-py3-none-any.whl
"""

import sys
import zipfile
from pathlib import Path

import pandas as pd
import xarray as xr

from runoff_lstm.files import write_netcdf

HERE = Path(__file__).parent
CATCHMENTS = {
    "leaf": ("Leaf", "Leaf River, Mississippi, USA"),
    "au_saumon": ("Au Saumon", "Riviere Au Saumon, Quebec, Canada"),
    "baskatong": ("Baskatong", "Baskatong reservoir, Quebec, Canada"),
}
VARIABLES = {
    "P": ("precipitation", "mm d-1", "precipitation"),
    "E0": ("potential_evapotranspiration", "mm d-1", "potential evapotranspiration"),
    "T": ("temperature", "degC", "air temperature"),
    "Qo": ("discharge", "mm d-1", "observed discharge"),
}


def read_observations(wheel: Path, name: str) -> xr.Dataset:
    """One catchment of the wheel as a canonical Dataset, dims (basin, time)."""
    gauge_id = next(gauge_id for gauge_id, (title, _) in CATCHMENTS.items() if title == name)
    with zipfile.ZipFile(wheel) as archive, archive.open(f"holmes/data/{name}_Observations.csv") as file:
        table = pd.read_csv(file, index_col="Date", parse_dates=True)
    variables = {
        ours: (("basin", "time"), table[column].to_numpy("float32")[None], {"units": units, "long_name": long_name})
        for column, (ours, units, long_name) in VARIABLES.items()
        if column in table
    }
    basin = ("basin", [gauge_id], {"cf_role": "timeseries_id", "long_name": "gauge id"})
    time = ("time", table.index.to_numpy(), {"standard_name": "time", "long_name": "start of the day"})
    return xr.Dataset(variables, coords={"basin": basin, "time": time})


def main() -> None:
    wheel = Path(sys.argv[1])
    for gauge_id, (name, title) in CATCHMENTS.items():
        dataset = read_observations(wheel, name).assign_attrs(
            Conventions="CF-1.11",
            featureType="timeSeries",
            title=title,
            source="holmes-hydro 3.5.0 (PyPI), holmes/data; daily observations aggregated over the catchment",
            license="MIT, Copyright 2025 Universite Laval",
        )
        packed = {variable: {"zlib": True, "complevel": 9, "shuffle": True} for variable in dataset.data_vars}
        write_netcdf(dataset, HERE / gauge_id / f"{gauge_id}.nc", encoding=packed)


if __name__ == "__main__":
    main()
