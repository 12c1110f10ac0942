import pytest

from runoff_lstm.runs.progress import reading_bar, training_bar, training_bars
from runoff_lstm.training.recipe import Progress


def test_the_bar_shows_update_loss_score_and_time_left(capsys):
    with training_bar("leaf", show=True) as observe:
        observe(Progress(update=1, share=0.5, loss=0.25, validation_nse=float("nan"), learning_rate=1e-3))
        observe(Progress(update=2, share=1.0, loss=0.125, validation_nse=0.5, learning_rate=1e-3))
    shown = "".join(capsys.readouterr().out.split())
    assert "leaf" in shown
    assert "update2," in shown
    assert "/s,loss0.125,NSE0.500" in shown


@pytest.mark.parametrize("label", ["[/red]", "[bold]x", "[link=http://x]a", ":smile:", "a\\[b"])
def test_a_label_is_shown_as_it_stands(capsys, label):
    with training_bars([label, "other"], show=True), reading_bar(label, show=True):
        pass
    assert label in capsys.readouterr().out


def test_nothing_is_drawn_where_it_is_not_wanted(capsys):
    with training_bar("leaf", show=False) as observe:
        observe(Progress(update=1, share=0.5, loss=0.25, validation_nse=0.1, learning_rate=1e-3))
    assert capsys.readouterr().out == ""
