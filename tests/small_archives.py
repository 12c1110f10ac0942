"""Archives of a few days in the text that CAMELS-US and Caravan are published in."""

from pathlib import Path

import numpy as np
import pandas as pd

from runoff_lstm.data.readers.camels_us import ATTRIBUTES

PART = {"daymet": "cida", "maurer": "maurer", "maurer_extended": "maurer", "nldas": "nldas"}
TEXT = ("high_prec_timing", "low_prec_timing", "geol_1st_class", "geol_2nd_class", "gauge_name", "dom_land_cover")


def dates(days: int, start: str) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=days)


def forcing_file(root: Path, gauge_id: str, product: str = "daymet", *, huc: str | None = None) -> Path:
    folder = root / "basin_mean_forcing" / product / (huc or gauge_id[:2])
    return folder / f"{gauge_id}_lump_{PART[product]}_forcing_leap.txt"


def flow_file(root: Path, gauge_id: str, *, huc: str | None = None) -> Path:
    return root / "usgs_streamflow" / (huc or gauge_id[:2]) / f"{gauge_id}_streamflow_qc.txt"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def forcing_text(days: int = 10, start: str = "2000-02-25", *, area: str = " 100000000", product: str = "daymet") -> str:
    """prcp 0.25, 1.25, ... by the day; the header as each product has it."""
    names = ["dayl(s)", "prcp(mm/day)", "srad(W/m2)", "swe(mm)", "tmax(C)", "tmin(C)", "vp(Pa)"]
    shown = {
        "daymet": "Year Mnth Day Hr " + " ".join(names),
        "maurer_extended": "\t".join(["Year", "Mnth", "Day", "Hr", *names]),
    }
    others = "Year Mnth Day Hr\tDayl(s)\tPRCP(mm/day)\tSRAD(W/m2)\tSWE(mm)\tTmax(C)\tTmin(C)\tVp(Pa)"
    rows = [
        f"{day:%Y %m %d} 12\t34214.41\t{number}.25\t{200 + number}.50\t0.00\t{5 + number}.14\t-2.24\t{500 + number}.00"
        for number, day in enumerate(dates(days, start))
    ]
    return "\n".join(["  37.24", " 226.00", area, shown.get(product, others), *rows]) + "\n"


def flow_text(gauge_id: str, days: int = 10, start: str = "2000-02-25", *, flags: str = "") -> str:
    """1000, 1001, ... ft3 s-1 by the day, approved where `flags` (A, e, M; a letter a day) says nothing else."""
    rows = []
    for number, day in enumerate(dates(days, start)):
        flag = flags[number : number + 1] or "A"
        value = -999.0 if flag == "M" else 1000.0 + number
        rows.append(f"{gauge_id} {day:%Y %m %d} {value:8.2f} {'A:e' if flag == 'e' else flag}")
    return "\n".join(rows) + "\n"


def write_camels_us(root: Path, *gauge_ids: str, products: tuple[str, ...] = ("daymet",), attributes: bool = False) -> Path:
    """Ten days of every basin from 2000-02-25 on, 100 km2 each."""
    for gauge_id in gauge_ids:
        for product in products:
            write(forcing_file(root, gauge_id, product), forcing_text(product=product))
        write(flow_file(root, gauge_id), flow_text(gauge_id))
    if attributes:
        write_attributes(root / "camels_attributes_v2.0", *gauge_ids)
    return root


def write_attributes(folder: Path, *gauge_ids: str) -> None:
    """The seven files of version 2.0; every number is the row's, from 1 on."""
    for part, columns in ATTRIBUTES.items():
        names = columns.split()
        rows = [
            ";".join([gauge_id, *(" a, b" if name in TEXT else str(number) for name in names)])
            for number, gauge_id in enumerate(gauge_ids, start=1)
        ]
        write(folder / f"camels_{part}.txt", "\n".join([";".join(["gauge_id", *names]), *rows]) + "\n")


def caravan_file(root: Path, gauge_id: str, kind: str = "csv") -> Path:
    return root / "timeseries" / kind / gauge_id.split("_", maxsplit=1)[0] / f"{gauge_id}.{'nc' if kind == 'netcdf' else kind}"


def caravan_series(days: int = 10, start: str = "1981-01-01") -> pd.DataFrame:
    """Precipitation 0.5, 1.5, ..., pressure in kPa, and 1, 2, ... of streamflow, whose first day is missing."""
    number = np.arange(days)
    return pd.DataFrame(
        {
            "surface_pressure_mean": 94.25,
            "temperature_2m_mean": number - 5.0,
            "total_precipitation_sum": number + 0.5,
            "streamflow": np.where(number == 0, np.nan, number),
        },
        index=pd.Index(dates(days, start).strftime("%Y-%m-%d"), name="date"),
    )


def write_caravan(root: Path, *gauge_ids: str, kind: str = "csv") -> Path:
    """Ten days of every basin, and the three attribute tables of its subset."""
    for gauge_id in gauge_ids:
        path, series = caravan_file(root, gauge_id, kind), caravan_series()
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "csv":
            series.to_csv(path)
        else:
            series.set_index(pd.DatetimeIndex(series.index, name="date")).to_xarray().to_netcdf(path)
    for subset in {gauge_id.split("_")[0] for gauge_id in gauge_ids}:
        write_caravan_attributes(root / "attributes" / subset, *(one for one in gauge_ids if one.startswith(f"{subset}_")))
    return root


def write_caravan_attributes(folder: Path, *gauge_ids: str) -> None:
    columns = {
        "caravan": {"p_mean": 3.5, "aridity_ERA5_LAND": 0.4},
        "hydroatlas": {"ele_mt_sav": 1200, "for_pc_sse": 60},
        "other": {"gauge_name": '"Lemona, upper"', "country": "CH", "gauge_lat": 46.35, "gauge_lon": 6.89, "area": 250.5},
    }
    for table, values in columns.items():
        rows = [",".join([gauge_id, *map(str, values.values())]) for gauge_id in gauge_ids]
        text = "\n".join([",".join(["gauge_id", *values]), *rows]) + "\n"
        write(folder / f"attributes_{table}_{folder.name}.csv", text)
