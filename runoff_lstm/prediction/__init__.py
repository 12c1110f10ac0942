"""A trained model at work.

In: a trained model and new data. Out: simulations (basin, time), forecasts (basin, issue_date, lead_time), single steps with a
state, gates and embeddings, all in mm d-1 or mm h-1. `trained_model` is the record that `simulate.Simulator` and
`forecast.TrainedForecaster` share. `bundle` writes a model as one file and reads it back, `header` checks every field of it.

May not import training or runs: whoever has model.safetensors and new data needs nothing else. Inputs outside the training
range, basins never seen and steps that cannot be predicted are logged by basin, variable and date.
"""
