"""Training: from windows and a model to trained weights.

In: a Dataset, `Periods`, `Inputs`, `Architecture`, `Recipe` as plain arguments. Out: a `TrainedModel` and its training
history. `setup` splits, scales and lays out; `loop` updates, validates, checkpoints and resumes exactly; `losses` and
`schedules` are tables; `device` sets device, precision, threads and memory; `fine_tuning` checks the start model of a fine-tuning.

May import every room below it, never `runs`: a notebook trains without a folder. The same seed gives the same weights. Early
stopping uses the validation period only.
"""
