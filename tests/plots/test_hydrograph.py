import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_figures import cut

from runoff_lstm.errors import InputError
from runoff_lstm.plots.history import plot_history
from runoff_lstm.plots.hydrograph import figure_hydrograph, plot_flow_duration, plot_hydrograph, plot_scatter
from runoff_lstm.plots.style import fitted, write_figure


def series(values, start="2000-10-01", units="mm d-1", freq="D"):
    values = np.asarray(values, dtype="float32")
    times = pd.date_range(start, periods=len(values), freq=freq)
    return xr.DataArray(values, {"time": times}, ("time",), attrs={"units": units} if units else {})


def line(axes, label):
    return next(one for one in axes.get_lines() if one.get_label() == label)


def days(count=900, seed=0):
    return series(np.random.default_rng(seed).gamma(1.0, 2.0, count))


def test_a_hydrograph_draws_both_series_as_they_are_with_units():
    observed, simulated = days(seed=1), days(seed=2)
    axes = plot_hydrograph(observed=observed, simulated=simulated)
    np.testing.assert_array_equal(line(axes, "observed").get_ydata(), observed)
    np.testing.assert_array_equal(line(axes, "simulated").get_ydata(), simulated)
    assert axes.get_ylabel() == "discharge [mm d$^{-1}$]"
    assert len(axes.figure.axes) == 1


def test_precipitation_hangs_from_the_top_and_leaves_the_discharge_room():
    observed, rain = days(seed=1), days(seed=3)
    axes = plot_hydrograph(observed=observed, simulated=observed, precipitation=rain)
    twin = axes.figure.axes[-1]
    bottom, top = twin.get_ylim()
    assert top == 0
    assert bottom > 3 * float(rain.max())
    assert axes.get_ylim()[1] > 1.3 * float(observed.max())
    assert twin.get_ylabel() == "precipitation [mm d$^{-1}$]"
    drawn = [label.get_text() for label in axes.get_legend().get_texts()]
    assert drawn == ["observed", "simulated", "precipitation"]


def test_a_gap_breaks_the_line_and_a_lone_value_is_a_dot():
    flow = series([1, 2, np.nan, 3, np.nan, 4, 5])
    axes = plot_hydrograph(observed=flow, simulated=flow)
    dots = [one for one in axes.get_lines() if one.get_marker() == "."]
    assert [one.get_ydata().tolist() for one in dots] == [[3.0], [3.0]]
    assert np.isnan(line(axes, "observed").get_ydata()).sum() == 2


def test_given_axes_are_drawn_on_and_returned():
    axes = plot_hydrograph(observed=days(), simulated=days())
    assert plot_hydrograph(axes, observed=days(), simulated=days()) is axes


def test_a_flow_duration_curve_falls_from_the_largest_flow():
    observed = series([4, 1, 2, np.nan, 0])
    axes = plot_flow_duration(observed=observed, simulated=series([1, 1, 1, 9, 2]))
    drawn = line(axes, "observed")
    np.testing.assert_allclose(drawn.get_xdata(), [20, 40, 60, 80])
    np.testing.assert_array_equal(drawn.get_ydata(), [4, 2, 1, np.nan])
    np.testing.assert_array_equal(line(axes, "simulated").get_ydata(), [2, 1, 1, 1])  # the day without observation does not count
    assert "observed on 1" in axes.texts[0].get_text()
    assert axes.get_yscale() == "log"


def test_a_scatter_has_equal_limits_the_line_and_the_count():
    axes = plot_scatter(observed=series([1, 2, np.nan, 3]), simulated=series([2, np.nan, 2, 3]))
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.texts[0].get_text() == "2 days"
    assert axes.collections[0].get_offsets().tolist() == [[1, 2], [3, 3]]
    assert plot_scatter(observed=days(), simulated=days()).get_xlabel() == "observed [mm d$^{-1}$]"


@pytest.mark.parametrize("draw", [plot_flow_duration, plot_scatter])
def test_series_without_a_day_in_common_say_so(draw):
    axes = draw(observed=days(), simulated=days() * np.nan)
    assert axes.texts[0].get_text() == "no days in common"


def test_the_validation_of_the_kept_weights_is_marked():
    history = pd.DataFrame(
        {"update": [10, 20, 30, 40], "train_loss": [1.0, 0.5, 0.3, 0.2], "validation_NSE": [0.1, 0.7, np.nan, 0.6]}
    )
    axes = plot_history(history=history)
    twin = axes.figure.axes[-1]
    assert twin.texts[0].get_text() == "kept: 0.700 at update 20"
    kept = plot_history(history=history.assign(kept=history["update"] == 40))
    assert kept.figure.axes[-1].texts[0].get_text() == "kept: 0.600 at update 40"
    assert line(axes, "training loss").get_ydata().tolist() == [1.0, 0.5, 0.3, 0.2]
    assert len(plot_history(history=history.assign(validation_NSE=np.nan)).figure.axes) == 1
    assert plot_history(history=history.iloc[:0]).texts[0].get_text() == "no updates yet"
    with pytest.raises(InputError, match="the history has no column 'validation_NSE'; did you mean 'validation_nse'"):
        plot_history(history=history.rename(columns={"validation_NSE": "validation_nse"}))


def test_the_whole_picture_shows_the_year_of_the_largest_peak_and_the_scores():
    observed = days(1200)
    observed[500] = 80.0
    figure = figure_hydrograph(
        observed=observed, simulated=observed * 0.9, precipitation=days(1200, 4), scores={"NSE": 0.9123, "RMSE": np.nan}, name="a"
    )
    assert figure.get_suptitle() == "a, 2000-10-01 to 2004-01-13: NSE 0.91, RMSE undefined"
    zoom = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("year of the largest"))
    shown = line(zoom, "observed").get_ydata()
    assert shown.max() == 80
    assert len(shown) == 365
    short = figure_hydrograph(observed=observed[:300], simulated=observed[:300], scores={}, name="a")
    assert not any(axes.get_title(loc="left").startswith("year of") for axes in short.axes)


NAMES = ["River at some place " * 6, "W" * 300, "a_name_without_a_blank_" * 8, "10$ or 20$ " * 12, "i" * 5000]


@pytest.mark.parametrize("name", NAMES)
def test_a_title_of_any_length_stays_within_the_picture_and_keeps_the_scores(name):
    observed = days(400)
    scores = {"NSE": 0.9123, "KGE": 0.8, "RMSE": 0.71}
    figure = figure_hydrograph(observed=observed, simulated=observed * 0.9, scores=scores, name=name)
    assert cut(figure) == []
    assert figure.get_suptitle().replace("\n", " ").endswith("NSE 0.91, KGE 0.80, RMSE 0.71 mm d$^{-1}$")
    heights = [axes.get_window_extent().height for axes in figure.axes]
    assert min(heights) > 0.1 * figure.bbox.height
    assert cut(plot_hydrograph(observed=observed, simulated=observed, title=name[:200].replace("$", "")).figure) == []


def test_text_is_broken_at_blanks_where_it_does_not_fit_and_stays_as_it_is_where_it_does():
    assert fitted("one  two", width=3, size=10) == "one  two"
    lines = fitted("one two three four five six", width=0.8, size=10).split("\n")
    assert len(lines) > 1
    assert " ".join(lines) == "one two three four five six"
    assert "".join(fitted("x" * 100, width=0.8, size=10).split("\n")) == "x" * 100
    assert r"\$" in fitted(r"\$" * 60, width=0.8, size=10).split("\n")[1]
    assert all(len(line) % 2 == 0 for line in fitted(r"\$" * 60, width=0.8, size=10).split("\n"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observed": days().expand_dims("basin")}, r"observed has dims \('basin', 'time'\); one basin"),
        ({"observed": days()[:0]}, "observed has no time step"),
        (
            {"observed": series([1, 2], units=None), "simulated": series([1, 2], units=None)},
            "observed and simulated without a unit",
        ),
        ({"simulated": series(np.ones(900), units="m3 s-1")}, "observed is in mm d-1, simulated is in m3 s-1; convert one"),
        ({"precipitation": series([1, 2], start="1990-01-01")}, "precipitation from 2000-10-01 to 2003-03-19 has no time step"),
    ],
)
def test_what_cannot_be_drawn_rightly_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        plot_hydrograph(**{"observed": days(), "simulated": days(), **options})


def test_a_figure_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    figure = plot_hydrograph(observed=days(), simulated=days()).figure
    write_figure(figure, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"let the name end in .png"):
        write_figure(figure, tmp_path / "a.pdf")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(figure), "savefig", full)
    with pytest.raises(Exception, match="No space left"):
        write_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"]


def test_numbers_and_tables_are_drawn_as_a_series_of_an_unknown_unit():
    observed = days(40)
    dated = pd.Series(observed.values, observed.indexes["time"])
    for one, other in ((dated, dated.to_frame("01013500")), (dated, observed.values), (dated, observed.values.tolist())):
        axes = plot_hydrograph(observed=one, simulated=other)
        np.testing.assert_array_equal(line(axes, "simulated").get_ydata(), observed)
        assert axes.get_ylabel() == "discharge"
    assert plot_hydrograph(observed=observed, simulated=dated).get_ylabel() == "discharge [mm d$^{-1}$]"
    assert plot_scatter(observed=observed.values, simulated=observed.values).get_xlabel() == "observed"
    assert plot_flow_duration(observed=observed.values, simulated=dated).get_lines()
    with pytest.raises(InputError, match="observed has no dates to draw it against"):
        plot_hydrograph(observed=observed.values)
    with pytest.raises(InputError, match="simulated has 2 basins; one can be drawn"):
        plot_hydrograph(observed=dated, simulated=pd.DataFrame({"a": dated, "b": dated}))


def test_a_hydrograph_has_as_many_simulations_as_are_given_by_name():
    observed = days(40)
    assert [one.get_text() for one in plot_hydrograph(observed=observed).get_legend().get_texts()] == ["observed"]
    axes = plot_hydrograph(observed=observed, simulated={"wet": observed * 2, "dry": observed / 2})
    np.testing.assert_array_equal(line(axes, "wet").get_ydata(), observed * 2)
    assert len({line(axes, name).get_color() for name in ("observed", "wet", "dry")}) == 3


@pytest.mark.parametrize("draw", [plot_hydrograph, plot_flow_duration, plot_scatter])
def test_ax_is_another_name_for_axes(draw):
    observed, ax = days(40), plot_history(history=pd.DataFrame(columns=["update", "train_loss", "validation_NSE"]))
    assert draw(observed=observed, simulated=observed, ax=ax) is ax
    with pytest.raises(InputError, match="axes and ax are two names"):
        draw(ax, observed=observed, simulated=observed, ax=ax)
    with pytest.raises(InputError, match=r"axes = .* is no Axes"):
        draw(observed, observed=observed, simulated=observed)
