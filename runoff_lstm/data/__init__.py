"""Data as a hydrologist has them, to the canonical Dataset: xarray in, xarray out, without torch."""
