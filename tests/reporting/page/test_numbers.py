"""What the page says is what the artifacts say.

Legend: N rows of the pool, n rows of a page, T checkpoints, K clusters.
"""

import base64
import json
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reporting.page.conftest import SOURCE, Site, losses_of
from utils.artifacts.subsets import REASONS
from utils.config.load import load_config
from utils.data.settings import read_pool
from utils.reporting.page.clusters import BAND, cluster_table
from utils.reporting.page.facts import LossFacts, PageFacts
from utils.reporting.page.figure_files import write_figure_files
from utils.reporting.page.formats import FIGURE_FORMATS
from utils.reporting.page.gathering.page_facts import gather_runs
from utils.reporting.page.gathering.subjects import OpenedPool, Subject
from utils.reporting.page.held_rows import RowArrays, sample_rows
from utils.reporting.page.histograms import histogram, loss_map
from utils.reporting.page.labels import for_plotly, harmless, short
from utils.reporting.page.packing import json_in_html, pack_array
from utils.reporting.page.render import Page, render_page


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
    losses = LossFacts("x", Path("x"), ["1"], [losses_of(10, 1)[:, 0]], None, is_of_a_run=False)
    assert loss_map(losses, []).rows_XY.shape[1] == 1
