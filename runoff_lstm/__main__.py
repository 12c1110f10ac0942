"""`python -m runoff_lstm`: the same as the command `runoff-lstm`."""

from runoff_lstm.cli import main

if __name__ == "__main__":
    main()
