"""Runs of the commands and their results.

In: the arguments of an experiment. Out: a folder with weights, scores, tables and pictures. `folder` defines every file name
of a run, `settings` writes settings and provenance, `run` trains and scores one run, `ensemble` runs several in parallel
(`workers`), `walk_forward` validates with a rolling origin, `scores` writes the scores of a period, `comparison` compares two runs,
`tables` and `progress` print to the terminal.

May import all lower layers, but not the experiment file or the command line: scripts and notebooks write the same folders.
"""
