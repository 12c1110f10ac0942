"""Commands called within the test's process."""

from typer.testing import CliRunner

from runoff_lstm.cli import app


def call(*arguments, width=None):
    return CliRunner().invoke(app, [str(one) for one in arguments], terminal_width=width)


def refused(*arguments):
    """The one sentence of a command that must fail, without a traceback."""
    result = call(*arguments)
    assert result.exit_code != 0, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.output.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.output
    return lines[0]
