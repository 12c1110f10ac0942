"""From any xarray Dataset of basins to the canonical one, or to one clear error: its form, its values and its units."""

import xarray as xr

from runoff_lstm.data.schema import TIME, check_form, is_mask
from runoff_lstm.data.units import check_units


def check_basins(dataset: xr.Dataset) -> xr.Dataset:
    """Check a Dataset against the canonical form and return it tidied.

    Parameters
    ----------
    dataset
        dims (basin, time), basin coordinate of gauge ids as str, time coordinate datetime64 at a regular step. Forcing variables
        and `discharge` over (basin, time), each with the attribute `units` ("1" where it has none), static attributes and
        `area_km2` over (basin,). NaN is the only missing value.

    Returns
    -------
    Dataset
        The same data, dims in the order (basin, time), floating variables over time as float32.

    Raises
    ------
    InputError
        A dimension is missing, gauge ids are not unique strings, the time axis is not regular, a value is infinite, a discharge is
        negative or in another unit than `discharge_units`, a variable over time has no unit or one that is not known, an area is
        not positive, a name is kept for something else. The message names gauge, variable and date.
    """
    tidy = check_form(dataset)
    check_all_units(tidy)
    return tidy


def check_all_units(dataset: xr.Dataset) -> None:
    """Refuse variables over time that have no unit, or one that is not known, all of them at once; masks are plain numbers."""
    series = {str(name): values.attrs.get("units") for name, values in dataset.data_vars.items() if TIME in values.dims}
    check_units({name: units for name, units in series.items() if not is_mask(dataset, name)})
