"""A hydrologist's files to the canonical Dataset.

In: netCDF, Zarr, CSV, CAMELS-US or Caravan files (`readers`). Out: one `xr.Dataset` with dims (basin, time), checked by
`schema`, whose names stand in `names` and whose units in `units`; `resampling`, `filling` and `derived` change it and say what
they changed. NaN is the only missing value.

May not import torch, nor any other room: hydrologists use this room alone, and scores must not depend on how a model is made.
Inside, data flow one way as well: `names`, `times`, `units` and `schema` below, `readers` and `preparation` above. Readers do
not import each other, so that a new archive is one new file and one row of `readers.SOURCES`.
"""
