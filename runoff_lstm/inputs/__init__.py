"""The canonical Dataset to what a model sees.

In: a checked Dataset, `Inputs` (names, window lengths, lags, lead times) and periods. Out: a `Batch` of scaled tensors,
gathered by `Windows`; the `Scaler` that made it and that inverts it. `checks` holds data, names and periods against each other,
once.

Tensors cross borders only inside `Batch`. May not import models or training: a window must not depend on who looks at it.
Nothing after the training period enters the scaler, and no window sees past its own end; tests poison the future to prove it.
"""
