import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_figures import cut

from runoff_lstm.plots.basins import plot_distribution, plot_map
from runoff_lstm.plots.style import write_figure


def scores(*values, name="NSE"):
    return pd.Series(values, index=[f"{place:02d}" for place in range(len(values))], name=name, dtype=float)


def places(count):
    basins = [f"{place:02d}" for place in range(count)]
    latitude, longitude = (xr.DataArray(start + np.arange(count), {"basin": basins}, ("basin",)) for start in (40.0, -100.0))
    return {"latitude": latitude[::-1], "longitude": longitude}  # in another order than the scores: looked up by gauge id


def test_a_distribution_tells_how_many_basins_score_no_better():
    axes = plot_distribution(scores={"model": scores(0.8, np.nan, -3.0, 0.5, 0.8), "climatology": scores(0.1, 0.2)})
    model, climatology = axes.get_lines()[:2]
    assert model.get_xdata().tolist() == [-3.0, 0.5, 0.8, 0.8]
    assert model.get_ydata().tolist() == [0.25, 0.5, 0.75, 1.0]
    assert model.get_drawstyle() == "steps-post"
    assert model.get_linewidth() > climatology.get_linewidth()
    drawn = [label.get_text() for label in axes.get_legend().get_texts()]
    assert drawn == ["model, median 0.650 (4 basins)", "climatology, median 0.150 (2 basins)"]
    assert (axes.get_xlim(), axes.get_ylim(), axes.get_xlabel()) == ((-0.2, 1.0), (0.0, 1.0), "NSE")


def test_a_distribution_of_a_metric_without_an_end_at_1_shows_its_values():
    for metric, values in (("RMSE", (0.3, 2.5, 4.0)), ("FHV", (-60.0, -5.0, 0.5)), ("KGE_alpha", (0.4, 0.9, 0.99))):
        left, right = plot_distribution(scores={"model": scores(*values)}, metric=metric).get_xlim()
        assert min(values) <= left < np.median(values) < right <= max(values)
    assert plot_distribution(scores={"model": scores(0.4, 0.9)}, metric="KGE_r").get_xlim() == (-0.2, 1.0)


@pytest.mark.parametrize("name", ["/a/folder/below/another/" * 5, "a model of some place " * 12, "W" * 300])
def test_a_legend_of_any_length_stays_within_the_picture_and_leaves_room_for_the_curves(name):
    axes = plot_distribution(scores={name + "1": scores(0.5, 0.7), name + "2": scores(0.4, 0.6)})
    assert cut(axes.figure) == []
    assert axes.get_window_extent().height > 0.4 * axes.figure.bbox.height
    assert axes.get_window_extent().width > 0.7 * axes.figure.bbox.width
    assert all(" ".join(label.get_text().split()).endswith("(2 basins)") for label in axes.get_legend().get_texts())


def test_an_infinite_score_is_undefined_and_a_curve_without_any_is_named():
    axes = plot_distribution(scores={"model": scores(0.5, -np.inf), "persistence": scores(np.nan, np.nan)})
    drawn = [label.get_text() for label in axes.get_legend().get_texts()]
    assert drawn == ["model, median 0.500 (1 basin)", "persistence, undefined in 2 basins"]


def test_a_distribution_of_nothing_is_drawn_empty():
    axes = plot_distribution(scores={"model": scores(np.nan, np.nan)})
    assert axes.get_xlim() == (-0.2, 1.0)
    assert plot_distribution(axes, scores={"model": scores(0.5)}) is axes


def test_a_map_has_a_dot_at_every_gauge_coloured_by_its_score_the_lowest_on_top():
    axes = plot_map(scores=scores(0.5, -2.0, 0.9), **places(3))
    (dots,) = axes.collections
    assert dots.get_offsets().tolist() == [[-98, 42], [-100, 40], [-99, 41]]
    assert dots.get_array().tolist() == [0.9, 0.5, -2.0]
    assert dots.get_clim() == (0.0, 1.0)
    assert axes.get_title(loc="left") == "NSE of 3 basins, median 0.500"
    assert axes.get_legend() is None
    bar = axes.figure.axes[-1]
    assert bar.get_ylabel() == "NSE"


def test_an_undefined_score_is_an_open_circle():
    axes = plot_map(scores=scores(0.5, np.nan, 0.9), **places(3))
    known, unknown = axes.collections
    assert np.isfinite(known.get_array()).all()
    assert unknown.get_offsets().tolist() == [[-99, 41]]
    assert len(unknown.get_facecolors()) == 0
    assert [label.get_text() for label in axes.get_legend().get_texts()] == ["undefined"]
    assert axes.get_title(loc="left") == "NSE of 2 of 3 basins, median 0.700"
    nothing = plot_map(scores=scores(np.nan, np.nan), **places(2))
    assert nothing.get_title(loc="left") == "NSE of 2 basins, undefined in all"


def test_the_colours_of_a_map_end_where_they_are_told_or_where_the_metric_does():
    def limits(*values, **given):
        return plot_map(scores=scores(*values), **places(len(values)), **given).collections[0].get_clim()

    assert limits(0.2, 0.4, limits=(-1.0, 0.5)) == (-1.0, 0.5)
    low, high = limits(0.5, 2.0, 9.0, metric="RMSE")
    assert 0.5 <= low < 1
    assert 8 < high <= 9


def test_a_metric_of_basins_is_written_with_its_map(tmp_path):
    random = np.random.default_rng(1)
    values = 1 - random.gamma(1.2, 0.3, 60)
    write_figure(plot_map(scores=scores(*values), **places(60)), tmp_path / "map.png")
    write_figure(plot_distribution(scores={"model": scores(*values)}), tmp_path / "distribution.png")
    for name in ("map.png", "distribution.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_names_that_look_like_formulas_are_drawn_as_they_stand(tmp_path):
    axes = plot_distribution(scores={r"$\frac$": scores(0.8, 0.5), "a$b$": scores(0.1, 0.2)})
    write_figure(axes, tmp_path / "curves.png")  # as a formula, the first could not be drawn
