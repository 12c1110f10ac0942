"""Read data files into the canonical Dataset, and prepare it.

In: netCDF, Zarr, CSV, CAMELS-US or Caravan files (`readers`). Out: one `xr.Dataset` with dims (basin, time). `names` defines its
names, `units` its units, and `schema` checks it. `resampling`, `filling` and `derived` change it and log each change. NaN is the
only missing value.

This room imports neither torch nor any other room: it works on its own, and scores must not depend on how a model is built.
Imports inside the room go one way as well: `names`, `times`, `units` and `schema` below, `readers` and `preparation` above.
Readers do not import each other. A new archive is one new file and one row of `readers.SOURCES`.
"""
