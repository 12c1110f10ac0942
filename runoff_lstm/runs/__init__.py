"""What a command does: a run and its folder, ensembles, folds, walk-forward, tables on the terminal."""
