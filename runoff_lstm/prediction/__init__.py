"""A trained model at work: simulate, forecast, step, look inside; the bundle it is kept in."""
