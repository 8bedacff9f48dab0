"""What the page says is what the artifacts say.

Legend: N rows of the pool, n rows of a page, T checkpoints, K clusters.
"""

import base64
import json
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.reporting.page.conftest import SOURCE, Site, losses_of
from utils.artifacts.comparisons import Difference, Measure
from utils.artifacts.subsets import REASONS
from utils.config.load import load_config
from utils.config.names import FIGURE_FORMATS
from utils.data.settings import read_pool
from utils.reporting.page import figure_files
from utils.reporting.page.charts import COLOURS, DASHES, GREY, LOSS, MARKS, Chart, Series, log_ticks
from utils.reporting.page.clusters import BAND, cluster_table
from utils.reporting.page.facts import ComparisonFacts, LossFacts, PageFacts
from utils.reporting.page.figure_files import write_figure_files
from utils.reporting.page.figures.comparison import difference_charts, losses_by_source, value_charts
from utils.reporting.page.figures.loss_map import map_chart
from utils.reporting.page.gathering.page_facts import gather_runs
from utils.reporting.page.gathering.subjects import OpenedPool, Subject
from utils.reporting.page.held_rows import RowArrays, sample_rows
from utils.reporting.page.histograms import LossMap, histogram, loss_map
from utils.reporting.page.labels import for_plotly, harmless, lines_of, short
from utils.reporting.page.packing import json_in_html, pack_array
from utils.reporting.page.plotly_figures import plotly_figure
from utils.reporting.page.render import Page, render_page
from utils.reporting.page.tiles import measure_name
from utils.reporting.text.comparison import comparison_text


class Elements(HTMLParser):
    """The elements of a page that name an entry of an artifact, and the contents of its scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.facts: list[dict[str, str]] = []
        self.scripts: dict[str, str] = {}
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "data-key" in values:
            self.facts.append(values)
        self._script = values.get("id", "") if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


def entry(values: Any, key: str) -> Any:
    for part in key.split("."):
        if part == "length" and isinstance(values, list):
            values = len(values)
        else:
            values = values[int(part)] if isinstance(values, list) else values[part]
    return values


@pytest.fixture(scope="module")
def facts(site: Site) -> PageFacts:
    subjects = []
    for name in ("chosen", "control"):
        config, _ = load_config(site.config(name))
        subjects.append(Subject(config, str(site.config(name))))
    return gather_runs(subjects, OpenedPool(read_pool(subjects[0].config)))


@pytest.fixture(scope="module")
def page(facts: PageFacts, site: Site) -> Page:
    config, _ = load_config(site.config("chosen"))
    return render_page(facts, read_pool(config))


def test_every_number_equals_the_one_in_its_artifact(page, site):
    facts = [fact for fact in Elements(page.html).facts if fact["data-key"]]
    assert len(facts) > 20
    for fact in facts:
        artifact = json.loads((site.res / fact["data-file"]).read_text())
        assert entry(artifact, fact["data-key"]) == json.loads(fact["data-value"]), fact


def test_links_lead_to_the_artifacts(page, site):
    for fact in Elements(page.html).facts:
        assert (site.res / "chosen" / fact["href"]).exists(), fact


def test_sizes_and_taken_are_those_of_the_subset_and_bands_those_of_the_losses(facts):
    subset = facts.clustered
    table = cluster_table(subset, facts.losses)
    losses_NT = np.stack(facts.losses.columns, axis=1)
    assert table.num_left_out == 0 and np.all(np.diff(table.sizes) <= 0)
    for place, number in enumerate(table.numbers):
        rows = np.flatnonzero(subset.clusters_N == number)
        assert table.sizes[place] == len(rows)
        assert table.taken[place] == np.isin(rows, subset.indices).sum()
        low_T, high_T = np.quantile(losses_NT[rows], BAND, axis=0)
        np.testing.assert_allclose(table.low_KT[place], low_T, rtol=1e-5)
        np.testing.assert_allclose(table.high_KT[place], high_T, rtol=1e-5)
        np.testing.assert_allclose(table.mean_KT[place], losses_NT[rows].mean(axis=0), rtol=1e-5)
        slope = np.polyfit(np.arange(5), table.mean_KT[place], 1)[0]
        assert table.slopes[place] == pytest.approx(slope, abs=1e-5)


def test_every_row_lies_in_one_cell_and_shares_add_up(facts):
    found = loss_map(facts.losses, facts.subsets)
    scorable = np.isfinite(np.stack(facts.losses.columns)).all(axis=0)
    assert found.rows_XY.sum() == scorable.sum() == 298
    assert [taken.sum() for taken in found.taken_XY] == [80, 80]
    assert np.array_equal(found.cell_N >= 0, scorable)
    bins = histogram(np.asarray(facts.losses.columns[-1]), facts.subsets)
    assert all(shares.sum() == pytest.approx(1) for shares in (bins.pool, *bins.subsets))


def test_figures_say_what_the_composition_says(page, facts):
    mix = next(chart for chart in page.charts if chart.key == "source_mix")
    for series, subset in zip(mix.series[1:], facts.subsets, strict=True):
        shares = dict(zip(series.y, series.x, strict=True))
        sources = subset.composition["sources"]
        assert shares == {name: sources[name]["share_of_subset"] for name in sources}


def test_rows_that_could_not_be_chosen_are_counted_by_reason(facts):
    first = facts.subsets[0]
    assert first.composition["not_selectable"] == {
        "benchmark question": 1,
        "no loss": 2,
        "repeated response": int((first.reasons_N == REASONS.index("repeated response")).sum()),
    }
    assert first.composition["selectable"] == int((first.reasons_N == 0).sum())
    assert facts.subsets[1].composition["not_selectable"] in ({"no loss": 2}, {})
    assert not first.reasons_N[first.indices].any()


def test_reasons_are_those_of_the_subset_that_is_explained(site):
    """Beside a subset without clusters, and after it."""
    subjects = []
    for name in ("control", "chosen"):
        config, _ = load_config(site.config(name))
        subjects.append(Subject(config, str(site.config(name))))
    facts = gather_runs(subjects, OpenedPool(read_pool(subjects[0].config)))
    scripts = Elements(render_page(facts, read_pool(subjects[0].config)).html).scripts
    data = json.loads(scripts["page-data"])
    assert (data["explained"], data["explainedBit"], data["method"]) == ("s2l", 2, "s2l")
    reasons = np.frombuffer(zlib.decompress(base64.b64decode(scripts["rows-reason"])), np.uint8)
    np.testing.assert_array_equal(reasons, facts.subsets[1].reasons_N)
    assert REASONS.index("repeated response") in reasons


def test_the_rows_of_the_page_are_those_of_the_pool(page, site, facts):
    scripts = Elements(page.html).scripts
    text = zlib.decompress(base64.b64decode(scripts["rows-text"])).decode()
    rows = text.split("\x00")[:-1]
    assert len(rows) == 300
    assert rows[7] == "\x01".join(harmless(site.pool[7][name]) for name in ("instruction", "output"))
    planes = np.frombuffer(zlib.decompress(base64.b64decode(scripts["rows-losses"])), np.uint8)
    halves = np.ascontiguousarray(planes.reshape(2, -1).T).view(np.float16).reshape(5, 300)
    expected = np.stack(facts.losses.columns).astype(np.float16)
    np.testing.assert_array_equal(halves, expected)


def test_a_sample_holds_all_chosen_rows_and_every_cluster_and_is_the_same_twice(facts):
    arrays = RowArrays(300, facts.losses, facts.subsets, facts.clustered.clusters_N, None, None, None)
    chosen = np.union1d(facts.subsets[0].indices, facts.subsets[1].indices)
    rows = sample_rows(arrays, 220, seed=3)
    assert len(rows) == 220 and np.all(np.diff(rows) > 0)
    assert np.isin(chosen, rows).all()
    clusters_N = facts.clustered.clusters_N
    assert set(clusters_N[rows]) >= set(clusters_N[clusters_N >= 0])
    np.testing.assert_array_equal(rows, sample_rows(arrays, 220, seed=3))
    assert not np.array_equal(rows, sample_rows(arrays, 220, seed=4))


def test_where_chosen_rows_do_not_fit_some_others_are_held_too(facts):
    arrays = RowArrays(300, facts.losses, facts.subsets, facts.clustered.clusters_N, None, None, None)
    rows = sample_rows(arrays, 60, seed=0)
    chosen = np.union1d(facts.subsets[0].indices, facts.subsets[1].indices)
    assert 0 < (~np.isin(rows, chosen)).sum() < 60


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "float32"])
def test_arrays_come_out_as_they_went_in(dtype):
    array = np.arange(50).astype(dtype)
    packed = pack_array("name", array)
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed.data)), np.uint8)
    width = array.dtype.itemsize
    np.testing.assert_array_equal(np.ascontiguousarray(planes.reshape(width, -1).T).view(dtype)[:, 0], array)


def test_json_in_a_script_cannot_end_it():
    text = json_in_html({"</script>": "<!-- & \u2028 <script>"})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"</script>": "<!-- & \u2028 <script>"}


def test_labels_hold_no_markup_and_no_control_characters():
    assert harmless("a\u202eb\x00\n\tc\ud800") == "a\\u202eb\\u0000\n\tc\\ud800"
    assert "<" not in for_plotly(SOURCE) and "$" not in for_plotly(SOURCE)
    assert len(short("x" * 500)) <= 72 and short("") == "(no source)"


def test_each_figure_is_written_as_a_file(page, tmp_path):
    paths = write_figure_files(page.charts[:2], tmp_path, FIGURE_FORMATS)
    paths += write_figure_files(page.charts[2:], tmp_path, ["svg"])
    assert len(set(paths)) == 2 * len(FIGURE_FORMATS) + len(page.charts) - 2
    begins = {".pdf": b"%PDF", ".png": b"\x89PNG", ".svg": b"<?xml"}
    assert all(path.read_bytes().startswith(begins[path.suffix]) for path in paths)


def test_one_slope_where_there_is_one_checkpoint():
    place = Path("x")
    losses = LossFacts("x", place, (place, ""), ["1"], [losses_of(10, 1)[:, 0]], None, is_of_a_run=False)
    assert loss_map(losses, []).rows_XY.shape[1] == 1


def test_names_that_look_alike_are_told_apart_on_an_axis():
    """A bar of one would stand on the bar of the other."""
    names = ["", "(no source)", *(f"{'long ' * 20}{middle}{' long' * 20}" for middle in ("one", "two"))]
    bars = Series("pool", [0.4, 0.3, 0.2, 0.1], names, "bars")
    chart = Chart("mix", "", "", "", "", [bars], names_on_y=True)
    assert len(set(map(tuple, chart.axis_names.values()))) == 4
    assert len(set(plotly_figure(chart)["data"][0]["y"])) == 4
    assert chart.axis_names[""] == ["(no source)"] and chart.axis_names["(no source)"] == ["(no source) (2)"]


def test_labels_of_wide_characters_are_broken_earlier():
    assert max(map(len, lines_of("名前" * 30))) == max(map(len, lines_of("ab" * 30))) // 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (4, 300, [5, 10, 20, 50, 100, 200]),
        (210, 480, [250, 300, 350, 400, 450]),
        (299.5, 300.5, [300]),
        (1233.5, 1237.5, [1234, 1235, 1236, 1237]),
    ],
)
def test_a_logarithmic_axis_has_marks_wherever_it_lies(low, high, expected):
    assert log_ticks(low, high) == expected


def test_a_figure_file_has_plain_numbers_and_its_legend_off_the_axes(page, tmp_path):
    chart = next(chart for chart in page.charts if chart.key == "response_length")
    (path,) = write_figure_files([chart], tmp_path, ["svg"])
    text = path.read_text(encoding="utf-8")
    assert "mathdefault" not in text and ">tokens of the response</text>" in text
    (figure,) = ElementTree.fromstring(text).findall(".//*[@id='figure_1']")
    assert [each.get("id") for each in figure] == ["patch_1", "axes_1", "legend_1"]


def test_a_figure_file_of_differences_has_a_line_at_0_and_marks_that_keep_apart(page, tmp_path):
    chart = next(chart for chart in page.charts if chart.key == "differences_accuracy")
    path_of = {}
    for name, each in {"around": chart, "above": replace(chart, x_range=(0.0, 1.0))}.items():
        (path_of[name],) = write_figure_files([replace(each, key=name)], tmp_path, ["svg"])
    lines = {name: path.read_text(encoding="utf-8").count(GREY) for name, path in path_of.items()}
    assert lines == {"around": lines["above"] + 1, "above": lines["above"]}
    assert path_of["around"].read_text(encoding="utf-8").count('id="xtick_') <= 6


def test_characters_that_no_font_has_are_named_once(tmp_path, capsys):
    bars = Series("pool", [0.4, 0.3], ["\u0870", "\u0870 \u0871"], "bars")
    charts = [Chart(key, "", "", "", "", [bars], names_on_y=True) for key in ("one", "two")]
    write_figure_files(charts, tmp_path, ["png"])
    assert "lacks 2 characters of the names in the figures (\u0870, \u0871)" in capsys.readouterr().err


def test_differences_of_one_unit_share_an_axis(page):
    """A difference of losses would hide those of accuracies, and has another sign where it is good."""
    charts = {chart.key: chart for chart in page.charts if chart.key.startswith("differences")}
    names = {key: [name for series in chart.series for name in series.y] for key, chart in charts.items()}
    assert sorted(names) == ["differences_accuracy", "differences_loss"]
    assert all("accuracy" in name for name in names["differences_accuracy"])
    assert all("loss" in name for name in names["differences_loss"])
    assert charts["differences_loss"].x_title == "difference (nats per response token)"
    assert {c.x_title for c in page.charts if c.key.startswith("values")} == {"accuracy", LOSS}


def value_charts_with_one_run(facts: PageFacts, arm: str) -> dict[str, Chart]:
    """Those of the comparison by key, as if this arm had a single run and so no interval over runs."""
    shown = facts.comparisons[0]
    values = [
        replace(each, over_runs=None) if each.arm == arm else each for each in shown.comparison.arm_values
    ]
    comparison = replace(shown.comparison, arm_values=values)
    return {chart.key: chart for chart in value_charts(ComparisonFacts(comparison, shown.file))}


def test_an_arm_without_an_interval_is_drawn_beside_those_that_have_one(facts):
    charts = value_charts_with_one_run(facts, "B")
    for chart in charts.values():
        drawn = {name for series in chart.series for name in series.y}
        assert drawn == {row[0] for row in chart.table}, chart.key
    assert [series.name for series in charts["values_heldout_loss_average"].series][1:] == ["one run"]


def test_the_accuracy_of_a_task_of_lm_eval_is_by_its_own_metric(facts):
    """And not by the paper's rule, which judges the sets that have a strict verdict too."""
    comparison = facts.comparisons[0].comparison
    task = Measure("hellaswag", None, "accuracy", False, {"chosen": 0.3, "control": 0.2})
    higher = Difference("B", ["hellaswag"], "accuracy", 0.1, (0.05, 0.2), None, [], "higher")
    measures, differences = [*comparison.measures, task], [*comparison.differences, higher]
    comparison = replace(comparison, measures=measures, differences=differences)
    assert measure_name(comparison, ["hellaswag"], "accuracy") == (
        "accuracy (by the task's first metric) on hellaswag"
    )
    assert measure_name(comparison, ["heldout"], "accuracy") == "accuracy (paper rule) on held-out rows"
    lines = comparison_text(comparison, 200).splitlines()
    assert "higher hellaswag, the task's first metric (+0.1000)" in lines[0]
    assert lines[lines.index("accuracy, the task's first metric") + 1].split()[0] == "hellaswag"


def test_the_held_out_loss_of_each_source_is_the_mean_over_the_runs_of_each_arm(facts):
    shown = facts.comparisons[0]
    losses = {"easy": {"chosen": 0.4, "control": 0.5}, SOURCE: {"chosen": 1.25}}
    measures = [Measure("heldout", source, "loss", False, values) for source, values in losses.items()]
    measures.append(Measure("heldout", "easy", "accuracy", False, losses["easy"]))
    shown = replace(shown, comparison=replace(shown.comparison, measures=measures))
    assert losses_by_source(shown).table == [["easy", "0.4", "0.5"], [SOURCE, "1.25", ""]]
    html = render_page(replace(facts, comparisons=[shown]), None).html
    assert "<summary>Held-out loss (nats per response token), by source</summary>" in html


def test_no_two_of_56_lines_look_alike():
    for kind in ("line", "points", "bars"):
        series = [Series(str(look), [0, 1], [1, look], kind, look=look) for look in range(56)]
        drawn = plotly_figure(Chart("many", "", "", "", "", series))["data"]
        looks = {json.dumps([each.get("line"), each["marker"]], sort_keys=True) for each in drawn}
        assert len(looks) == 56, kind
    of_files = (figure_files._DASHES, figure_files._MARKS, figure_files._HATCHES)
    assert {len(each) for each in (DASHES, MARKS, *of_files)} == {len(COLOURS) - 1}


def test_the_names_on_an_axis_stand_as_in_the_table(facts):
    """Not those with an interval first, the others behind them."""
    chart = value_charts_with_one_run(facts, "A")["values_heldout_loss_average"]
    assert list(chart.axis_names) == [row[0] for row in chart.table] == ["A: s2l", "B: random"]
    assert plotly_figure(chart)["layout"]["yaxis"]["categoryarray"] == ["A: s2l", "B: random"]


def differences_of(facts: PageFacts, means: list[float]) -> Chart:
    """A figure of as many differences, each with an interval of ± 0.01."""
    shown = facts.comparisons[0]
    differences = [
        Difference("B", [f"set{place}"], "accuracy", mean, None, (mean - 0.01, mean + 0.01), [], "higher")
        for place, mean in enumerate(means)
    ]
    (chart,) = difference_charts(
        ComparisonFacts(replace(shown.comparison, differences=differences), shown.file)
    )
    return chart


def test_one_far_arm_does_not_hide_the_others(facts, tmp_path):
    means = [0.01, 0.02, 0.03, -0.02, -0.01, 0.04, 0.0, -2.5]
    chart = differences_of(facts, means)
    assert chart.x_range is not None and -0.1 < chart.x_range[0] < -0.03 and 0.05 < chart.x_range[1] < 0.1
    assert [value for _, value in chart.beyond] == [-2.5] and "beyond the axis" in chart.note
    arrows = plotly_figure(chart)["data"][-1]
    assert (arrows["text"], arrows["marker"]["symbol"]) == (["−2.5"], ["triangle-left"])
    assert arrows["y"][0] in plotly_figure(chart)["data"][0]["y"]
    (path,) = write_figure_files([chart], tmp_path, ["svg"])
    assert ">−2.5</text>" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("means", [[0.01, -2.5], [0.1 * place for place in range(12)], [-2.5, 2.5] * 4])
def test_an_axis_that_a_few_lines_do_not_stretch_holds_all(facts, means):
    chart = differences_of(facts, means)
    assert chart.x_range is not None and chart.beyond == []
    assert chart.x_range[0] < min(means) and max(means) < chart.x_range[1]


def test_axes_do_not_mislead(page):
    """Trajectories of one cluster and of many on one scale, agreement from 0 to 1, shares from 0."""
    charts = {chart.key: chart for chart in page.charts}
    one, many = charts["one_cluster"], charts["different_clusters"]
    values = [value for chart in (one, many) for value in chart.series[0].y if value is not None]
    assert one.y_range == many.y_range
    assert one.y_range[0] <= min(values) and max(values) <= one.y_range[1]
    assert charts["stability"].x_range[0] < 0 and charts["stability"].x_range[1] > 1
    assert 1 < charts["values_heldout_loss_average"].x_range[0] < 1.07  # the lowest interval begins at 1.07
    assert charts["differences_accuracy"].x_range[0] < 0 < charts["differences_accuracy"].x_range[1]
    assert plotly_figure(charts["last_loss"])["layout"]["yaxis"]["rangemode"] == "tozero"


@pytest.mark.parametrize(("low", "high"), [(3, 300), (5, 40), (1, 2), (7, 100_000)])
def test_bins_of_lengths_only_grow(low, high):
    """Narrow bins between wide ones would be dents that are not in the data."""
    lengths_N = np.arange(low, high + 1).astype(np.float32)
    bins = histogram(lengths_N, [], is_log=True)
    widths = np.diff(bins.edges)
    assert np.all(np.diff(widths) >= 0) and bins.pool.sum() == pytest.approx(1)
    low_end, high_end = np.quantile(lengths_N, [0.005, 0.995])
    assert bins.edges[0] <= low_end + 1 and bins.edges[-1] > high_end


def test_colours_of_the_map_tell_apart_what_most_rows_are(facts):
    """A cell of one row that is chosen would leave one colour for all large cells."""
    rows_XY = np.array([[1000, 900], [1000, 1]])
    taken_XY = np.array([[0, 45], [100, 1]])
    edges = np.array([0.0, 1.0, 2.0])
    loss_map_of = LossMap(edges, edges, rows_XY, [taken_XY], np.zeros(0, np.int32))
    chart = map_chart(loss_map_of, facts.subsets[:1])
    assert chart.shade_end == 0.1
    assert list(chart.shade_ticks.values()) == ["0%", "5%", "10% or more"]
    assert map_chart(loss_map_of, []).shade_title == ""
    assert not plotly_figure(map_chart(loss_map_of, []))["data"][0]["marker"]["showscale"]
