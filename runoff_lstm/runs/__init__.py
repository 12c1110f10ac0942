"""What a command does and leaves behind.

In: the arguments of an experiment. Out: a folder with weights, scores, tables and pictures. `folder` knows every file name of a
run, `settings` writes what was asked, `run` trains and scores one, `ensemble` many side by side (`workers`), `walk_forward` rolls
an origin, `scores` writes what a period gives, `comparison` compares two runs, `tables` and `progress` show it on the terminal.

May import every room below; knows nothing of TOML or the command line, so that scripts and notebooks make the same folders.
"""
