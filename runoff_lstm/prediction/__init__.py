"""Simulation and forecasting with a trained model.

In: a trained model and new data. Out: simulations (basin, time), forecasts (basin, issue_date, lead_time), single steps with a
state, gates and embeddings, all in mm d-1 or mm h-1. `trained_model` is the base class of `simulate.Simulator` and
`forecast.TrainedForecaster`. `bundle` writes and reads a model as one file, `header` checks every field of it.

May not import training or runs: model.safetensors and new data are enough. Inputs outside the training range, basins not in
training and steps that cannot be predicted are reported by basin, variable and date.
"""
