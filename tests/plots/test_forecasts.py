import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.text import Text
from small_figures import cut

from runoff_lstm.errors import InputError
from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
from runoff_lstm.plots.style import write_figure


def table(basins=1, models=("lstm", "persistence", "climatology")):
    rows = [
        {"model": model, "gauge_id": str(basin), "lead_time": lead, "NSE": 0.9 - 0.1 * lead * place + 0.01 * basin, "RMSE": lead}
        for place, model in enumerate(models)
        for basin in range(basins)
        for lead in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def lines(axes):
    return {one.get_label(): one for one in axes.get_lines()}


def test_a_line_for_each_model_and_baseline_at_its_medians():
    axes = plot_lead_times(scores=table(5))
    drawn = lines(axes)
    assert list(drawn) == ["lstm", "persistence", "climatology"]
    np.testing.assert_allclose(drawn["persistence"].get_ydata(), [0.82, 0.72, 0.62])
    assert drawn["lstm"].get_xdata().tolist() == [1, 2, 3]
    assert len(axes.collections) == 1  # the middle half of the basins, of the model alone
    assert axes.get_ylabel() == "NSE"


def test_several_models_have_colours_of_their_own_and_another_metric_its_unit(tmp_path):
    axes = plot_lead_times(scores=table(models=("lstm", "linear", "persistence")), metric="RMSE", units="mm d-1")
    assert len({one.get_color() for one in lines(axes).values()}) == 3
    assert axes.get_ylabel() == "RMSE [mm d$^{-1}$]"
    write_figure(axes, tmp_path / "leads.png")
    with pytest.raises(InputError, match="no column 'KGE'"):
        plot_lead_times(scores=table(), metric="KGE")


def test_the_title_says_of_how_many_basins_a_line_is_and_the_legend_where_it_is_of_fewer():
    holed = table(5)
    holed.loc[(holed["model"] == "lstm") & (holed["gauge_id"] > "1"), "NSE"] = np.nan
    axes = plot_lead_times(scores=holed)
    assert axes.get_title(loc="left") == "median of 5 basins, half of them shaded"
    assert list(lines(axes)) == ["lstm (of 2)", "persistence", "climatology"]
    assert plot_lead_times(scores=table(1)).get_title(loc="left") == ""


def test_names_of_any_length_stay_within_the_picture():
    assert cut(plot_lead_times(scores=table(2, models=("a model of some name " * 20, "W" * 200, "persistence"))).figure) == []
    times = pd.date_range("2000-01-01", periods=20)
    observed = xr.DataArray(np.arange(20.0), {"time": times}, ("time",), attrs={"units": "mm d-1"})
    forecast = xr.DataArray(np.full((20, 2), 7.0), {"issue_date": times, "lead_time": [1, 2]}, ("issue_date", "lead_time"))
    axes = plot_forecasts(observed=observed, forecast=forecast, title="a river at some place, 01013500: forecasts " * 4)
    assert cut(axes.figure) == []
    (title,) = [text for text in axes.findobj(Text) if text.get_text() == axes.get_title(loc="left")]
    assert title.get_window_extent().x1 < axes.get_legend().get_window_extent().x0


def test_forecasts_begin_at_the_observation_of_their_issue_date():
    times = pd.date_range("2000-01-01", periods=20)
    observed = xr.DataArray(np.arange(20.0), {"time": times}, ("time",), attrs={"units": "mm d-1"})
    observed[8] = np.nan
    issued = times[4:16]
    forecast = xr.DataArray(np.full((12, 2), 7.0), {"issue_date": issued, "lead_time": [1, 2]}, ("issue_date", "lead_time"))
    axes = plot_forecasts(observed=observed, forecast=forecast, every=2)
    fans = [one for one in axes.get_lines() if one.get_color() == "#D55E00" and one.get_marker() == "None"]
    assert len(fans) == 6
    assert fans[0].get_ydata().tolist() == [4.0, 7.0, 7.0]
    assert fans[0].get_xdata().astype("datetime64[D]").astype(str).tolist() == ["2000-01-05", "2000-01-06", "2000-01-07"]
    assert fans[2].get_ydata().tolist() == [7.0, 7.0]  # the gauge was silent
    with pytest.raises(InputError, match="no forecast is issued from"):
        plot_forecasts(observed=observed[:3], forecast=forecast)
