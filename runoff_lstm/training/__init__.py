"""Windows and a model to trained weights.

In: a Dataset, `Periods`, `Inputs`, `Architecture`, `Recipe` as plain arguments. Out: a `TrainedModel` and the history of its
training. `setup` splits, scales and lays out; `loop` updates, validates, checkpoints and resumes exactly; `losses` and
`schedules` are tables; `device` decides device, precision, threads and memory; `fine_tuning` says what may go on from what.

May import every room below it, never `runs`: a notebook trains without a folder. The same seed gives the same weights, and
early stopping sees the validation period only.
"""
