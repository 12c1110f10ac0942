"""Inputs: from the canonical Dataset to the scaled tensors of a model.

In: a checked Dataset, `Inputs` (names, window lengths, lags, lead times) and periods. Out: a `Batch` of scaled tensors,
gathered by `Windows`; the `Scaler` that made it and that inverts it. `checks` checks data, names and periods together, once.

Tensors pass between rooms only inside `Batch`. May not import models or training: a window must not depend on its use. Only the
training period enters the scaler, and no window reads past its own end; tests with changed future values prove it.
"""
