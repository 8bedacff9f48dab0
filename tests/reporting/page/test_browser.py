"""The page in a real browser, opened from disk: what is clicked, typed and read does what it should."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import yaml

import report
import select_s2l
from tests.conftest import PROJECT, run_here, write_jsonl
from tests.reporting.page.browser import Browser
from tests.reporting.page.conftest import (
    DOTTED,
    HOSTILE,
    RIGHT_TO_LEFT,
    SOURCE,
    Site,
    losses_of,
    write_config,
)
from utils.artifacts.files import read_json

AXE = PROJECT / ".axe/node_modules/axe-core/axe.min.js"
FOUND = "return document.querySelectorAll('#rows-body .row').length"


@pytest.fixture
def opened(browser: Browser, elsewhere: Path) -> Iterator[Browser]:
    """The page as it is first seen, in light and wide. Its address is all the state it has."""
    browser.look()
    if browser.run("return location.href.split('#')[0]") != elsewhere.resolve().as_uri():
        browser.open(elsewhere)
    browser.go("answer")
    browser.messages()
    browser.requests()
    yield browser
    assert browser.messages() == []
    assert browser.requests() == []
    assert browser.run("return window.hit") is None


def count_of(browser: Browser) -> int:
    return int(browser.text("#row-count").split()[0].replace(",", ""))


def test_all_figures_are_drawn_and_nothing_leaves_the_page(browser, elsewhere):
    browser.messages()
    browser.requests()
    browser.open(elsewhere)
    empty = browser.run(
        "return Array.from(document.querySelectorAll('.plot[data-figure]'))"
        ".filter((each) => !each.querySelector('svg.main-svg')).map((each) => each.dataset.figure)"
    )
    assert empty == []
    assert browser.run("return document.querySelectorAll('canvas').length") == 0, "no WebGL: print is vector"
    assert len(browser.texts(".panel")) > 3
    assert {each for each in browser.requests() if each != "about:blank"} == {elsewhere.resolve().as_uri()}
    assert browser.messages() == []


def test_a_click_on_a_cluster_lists_its_rows(opened, site: Site):
    composition = read_json(site.res / "chosen/subset/composition.json")
    number = opened.run("return document.querySelector('.panel').dataset.cluster")
    opened.click(".panel")
    opened.wait("return !document.getElementById('cluster').hidden")
    size = sum(of["clusters"].get(number, [0])[0] for of in composition["sources"].values())
    assert count_of(opened) == size
    assert opened.text("#cluster-title").startswith(f"Cluster {number}: {size} rows")
    assert opened.run("return document.querySelector('#cluster-plot svg.main-svg') !== null")
    shown = opened.texts("#rows-body .row [role=cell]:nth-child(4)")
    assert shown and set(shown) == {number}
    assert opened.texts("#cluster-others li") and opened.texts("#cluster-chosen li")


def test_a_cell_of_the_map_filters_the_table(opened):
    # The largest: its middle is covered by no other.
    opened.run(
        "const points = [...document.querySelectorAll('[data-figure=map] .points path')];"
        "points.sort((a, b) => b.getBBox().width - a.getBBox().width);"
        "points[0].setAttribute('id', 'largest-cell');"
        "points[0].scrollIntoView({block: 'center'})"
    )
    from selenium.webdriver import ActionChains

    cell = opened.driver.find_element("id", "largest-cell")
    ActionChains(opened.driver).move_to_element(cell).pause(0.2).click().perform()
    opened.wait("return location.hash.includes('cell=')")
    opened.wait("return document.getElementById('row-count').textContent.indexOf('300 of') !== 0")
    assert 0 < count_of(opened) < 300
    assert opened.texts("#filters button") == ["a cell of the map ×"]
    opened.click("#filters button")
    opened.wait("return !location.hash.includes('cell=')")
    assert count_of(opened) == 300


@pytest.mark.parametrize("width", [400, 1600])
def test_cells_of_the_map_do_not_cover_each_other(browser, elsewhere, width):
    browser.look(width)
    browser.open(elsewhere)
    boxes = browser.run(
        "return Array.from(document.querySelectorAll('[data-figure=map] .points path'), (each) => {"
        "const box = each.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; })"
    )
    assert len(boxes) > 50
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:place]:
            across = min(right, other[2]) - max(left, other[0])
            down = min(bottom, other[3]) - max(top, other[1])
            assert min(across, down) < 1, "pixels"


def test_a_cell_is_reached_without_a_mouse(opened):
    opened.run("document.querySelector('#figure-map details').open = true")
    opened.run("document.querySelector('#figure-map table a').focus()")
    from selenium.webdriver import ActionChains, Keys

    ActionChains(opened.driver).send_keys(Keys.ENTER).perform()
    opened.wait("return location.hash.startsWith('#cell=')")
    rows = opened.run("return document.querySelector('#figure-map table tbody td:nth-child(3)').textContent")
    opened.wait("return !document.getElementById('row-count').textContent.startsWith('300 of')")
    assert count_of(opened) == int(rows.replace(",", ""))


def test_search_finds_a_row_by_a_word_and_by_its_number(opened, site: Site):
    word = site.pool[123]["output"].split()[-1]
    opened.driver.find_element("id", "search").send_keys("ONERROR=")
    opened.wait("return location.hash.includes('q=')")
    opened.wait("return document.querySelectorAll('#rows-body .row').length === 1")
    assert opened.texts("#rows-body .row a") == ["7"]
    opened.go("q=123")
    assert "123" in opened.texts("#rows-body .row a")
    opened.go(f"q={word}")
    expected = [
        row for row, values in enumerate(site.pool)
        if word.lower() in f"{values['instruction']}\n{values['output']}".lower()
    ]  # fmt: skip
    assert count_of(opened) >= len(expected) > 0
    opened.go(f"q={quote(DOTTED)}")
    assert opened.texts("#rows-body .row a") == ["9"]
    opened.go("q=no+such+words+anywhere")
    assert count_of(opened) == 0


def test_back_and_forward_work(opened):
    opened.go("q=onerror")
    opened.go("row=7")
    assert not opened.run("return document.getElementById('row').hidden")
    opened.driver.back()
    opened.wait("return document.getElementById('row').hidden")
    assert count_of(opened) == 1
    opened.driver.back()
    opened.wait("return document.getElementById('row-count').textContent.startsWith('300 of')")
    opened.driver.forward()
    opened.wait("return document.getElementById('row-count').textContent.startsWith('1 of')")


def test_closing_a_row_keeps_what_was_searched_for(opened):
    opened.go("q=pebbles")
    found = count_of(opened)
    opened.click("#rows-body a")
    opened.wait("return location.hash.includes('row=')")
    opened.click("#row .close")
    opened.wait("return location.hash === '#q=pebbles'")
    assert opened.run("return document.getElementById('row').hidden") and count_of(opened) == found < 300


def test_the_rows_of_a_cluster_are_a_draw_and_the_same_each_time(opened, site: Site):
    """Not the first of the pool, which may all be of one kind."""
    folder = site.res / "chosen/subset"
    others = np.setdiff1d(np.arange(300), np.load(folder / "indices.npy"))
    clusters = np.load(folder / "clusters.npy")[others]
    largest = np.bincount(clusters[clusters >= 0]).argmax()
    members = others[clusters == largest].tolist()
    drawn = []
    for _ in range(2):
        opened.go("answer")
        opened.wait("return document.getElementById('cluster').hidden")
        opened.go(f"cluster={largest}")
        opened.wait("return !document.getElementById('cluster').hidden")
        drawn.append([int(text.split()[0]) for text in opened.texts("#cluster-others li")])
    assert drawn[0] == drawn[1] != members[:6]
    assert len(set(drawn[0])) == 6 and set(drawn[0]) <= set(members)


def test_closing_a_cluster_leads_back_to_the_trajectories(opened):
    opened.click(".panel")
    opened.wait("return !document.getElementById('cluster').hidden")
    opened.click("#cluster .close")
    opened.wait("return location.hash === '#trajectories'")
    assert opened.run("return document.getElementById('cluster').hidden") and count_of(opened) == 300


def test_all_rows_of_a_cluster_are_one_click_away(opened):
    opened.click(".panel")
    opened.wait("return !document.getElementById('cluster').hidden")
    opened.click("#cluster-rows")
    opened.wait("return Math.abs(document.getElementById('rows').getBoundingClientRect().top) < 200")


@pytest.mark.parametrize("number", ["300", "abc", ""])
def test_of_a_row_that_is_not_here_nothing_else_is_said(opened, number):
    opened.go("row=7")
    opened.go(f"row={number}")
    assert opened.text("#row-title").strip() == f"Row {number}".strip()
    assert "This page does not hold the row." in opened.text("#row-facts")
    for part in ("#row-plot", "#row-losses", "#row-prompt", "#row-explain"):
        assert opened.run("return document.querySelector(arguments[0]).getClientRects().length", part) == 0


def test_a_row_says_whether_it_is_in_and_why(opened, site: Site):
    opened.go("row=90")
    assert "Could not be chosen: no loss." in opened.text("#row-facts")
    opened.go("row=70")
    assert "Could not be chosen: benchmark question." in opened.text("#row-facts")
    assert "shares with a question" in opened.text("#row-facts")
    chosen = int(opened.run("location.hash = 'in=in0'; return 0") or 0)
    opened.wait("return document.getElementById('row-count').textContent.startsWith('80 of')")
    chosen = int(opened.texts("#rows-body .row a")[0])
    opened.go(f"row={chosen}")
    assert "this one among them" in opened.text("#row-facts")
    assert opened.text("#row-explain code").endswith(f"--explain {chosen}")
    assert opened.run("return document.querySelector('#row-plot svg.main-svg') !== null")


def test_hostile_rows_are_shown_as_text(opened):
    opened.go("row=7")
    assert opened.run("return document.getElementById('row-prompt').textContent") == HOSTILE
    opened.go("row=8")
    shown = opened.run("return document.getElementById('row-prompt').textContent")
    assert shown == "abc\\u202egnp.exe\\u0000\\u0001 \\u001b[31m"
    opened.go("row=20")
    assert SOURCE in opened.run("return document.getElementById('row-facts').textContent")
    assert opened.run("return document.querySelectorAll('img, main a[href^=javascript]').length") == 0
    links = opened.run("return Array.from(document.querySelectorAll('svg a'), (each) => each.outerHTML)")
    assert not [link for link in links if "javascript" in link]


def test_a_conversation_is_shown_turn_by_turn(browser, site: Site):
    def said(row: int) -> list[dict[str, str]]:
        words = ["You are Mia.", f"Question {row}?", "First", f"And {row}?", "Second"]
        roles = ["system", "user", "assistant", "user", "assistant"]
        return [{"role": role, "content": text} for role, text in zip(roles, words, strict=True)]

    pool = write_jsonl(site.folder / "chat.jsonl", [{"messages": said(row)} for row in range(40)])
    np.save(site.folder / "chat.npy", losses_of(40, 3))
    path = write_config(site.folder, "chat", pool, site.folder / "chat.npy", budget=10, num_clusters=2)
    values = yaml.safe_load(path.read_text())
    values["data"] |= {"format": "messages", "template": "chat"}
    path.write_text(yaml.safe_dump(values))
    assert run_here(select_s2l, "--config_file", path) == run_here(report, "--config_file", path) == 0
    browser.open(site.page("chat"), "#row=7")
    assert browser.text("#row-prompt-title") == "Conversation"
    assert browser.run("return document.getElementById('row-answer').hidden")
    assert browser.text("#row-prompt").split("\n\n") == [
        "system:\nYou are Mia.",
        "user:\nQuestion 7?",
        "assistant (scored):\nFirst",
        "user:\nAnd 7?",
        "assistant (scored):\nSecond",
    ]
    assert browser.texts("#rows-body .row > :last-child")[:2] == ["And 0?", "And 1?"]
    assert browser.messages() == []


# Where characters of an element's text stand from left to right, and the box of what it is shown in.
EDGES = """
const [element, places] = arguments;
const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
const boxes = [];
for (let node = text.nextNode(), start = 0; node; start += node.length, node = text.nextNode()) {
    for (const place of places.filter((place) => start <= place && place < start + node.length)) {
        const range = document.createRange();
        range.setStart(node, place - start);
        range.setEnd(node, place - start + 1);
        boxes.push(range.getBoundingClientRect());
    }
}
const around = element.getBoundingClientRect();
return [boxes.map((box) => box.left), around.left <= boxes[0].left && boxes[0].right <= around.right + 1];
"""


def test_text_that_runs_from_right_to_left_is_laid_out_and_cut_as_it_is_read(opened):
    def edges(selector: str, *places: int) -> tuple[list[float], bool]:
        return opened.run(EDGES, opened.driver.find_element("css selector", selector), places)

    opened.go("q=%D7%A9%D7%9C%D7%95%D7%9D")
    assert opened.texts("#rows-body .row a") == ["10"]
    (first, later), is_seen = edges("#rows-body .row > :last-child", 0, 3)
    assert first > later and is_seen
    opened.go("row=10")
    (first, later), _ = edges("#row-prompt", 0, 3)
    assert first > later
    shown = opened.run("return document.getElementById('row-prompt').textContent")
    assert shown == RIGHT_TO_LEFT
    for line in RIGHT_TO_LEFT.split("\n")[1:]:
        start = RIGHT_TO_LEFT.index(line)
        signs = [start + place for place, sign in enumerate(line) if sign in "{:7}"]
        lefts, _ = edges("#row-prompt", *signs)
        assert len(signs) > 3 and lefts == sorted(lefts), "JSON, whose first letter may be either"
    opened.click(".panel")
    opened.wait("return !document.getElementById('cluster').hidden")
    styles = "(each) => [each.dir, getComputedStyle(each).unicodeBidi].join(' ')"
    shown = opened.run(f"return Array.from(document.querySelectorAll('.texts div'), {styles})")
    assert set(shown) == {"auto plaintext"}


def test_the_policy_runs_no_script_but_the_page_s_own(browser, elsewhere):
    browser.open(elsewhere)
    policy = browser.run("return document.querySelector('meta[http-equiv]').content")
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts and "default-src 'none'" in policy
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.hit = 2';"
        "document.body.append(script);"
        "const place = document.createElement('div');"
        "place.innerHTML = '<img src=x onerror=\"window.hit=3\">';"
        "document.body.append(place);"
    )
    assert browser.run("return window.hit") is None
    assert browser.run("return fetch('https://example.org').then(() => 'sent', () => 'kept')") == "kept"
    browser.messages()  # which say so


@pytest.mark.parametrize("width", [400, 1600])
def test_everybody_can_read_it(browser, elsewhere, width):
    if not AXE.is_file():
        pytest.skip("needs axe-core: make axe")
    browser.look(width)
    browser.open(elsewhere, "#row=7&cluster=0")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    for scheme in ("light", "dark"):
        browser.look(width, scheme)
        found = browser.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
            ".then((results) => done(JSON.stringify(results.violations.map((each) => [each.id, each.impact,"
            "each.nodes.slice(0, 3).map((node) => node.html + node.failureSummary)]))))"
        )
        faults = [each for each in json.loads(found) if each[1] in ("serious", "critical")]
        assert faults == [], scheme


def test_in_the_dark_a_legend_has_the_colours_of_its_figure(browser, elsewhere):
    filter_of = (
        "let part = document.querySelector(arguments[0]); const found = [];"
        "for (; part.tagName !== 'DIV'; part = part.parentNode) found.push(getComputedStyle(part).filter);"
        "return found.filter((each) => each !== 'none')"
    )
    browser.look(1600, "dark")
    browser.open(elsewhere)
    figures = "[data-figure=source_mix]", "[data-figure=last_loss]"
    for figure, mark in zip(figures, ("point", "js-line"), strict=True):
        parts = (f"{figure} .cartesianlayer .{mark}", f"{figure} .legend .layers")
        assert [browser.run(filter_of, part) for part in parts] == [["brightness(1.5)"]] * 2


def test_two_intervals_of_one_arm_do_not_hide_each_other(opened):
    heights = opened.run(
        "return Array.from(document.querySelectorAll('[data-figure=values_heldout_accuracy] .errorbar path'),"
        "(each) => Math.round(each.getBoundingClientRect().y))"
    )
    assert len(heights) == 4 and len(set(heights)) == 4


def test_on_paper_no_figure_of_a_cluster_is_cut_off(opened):
    opened.run("dispatchEvent(new Event('beforeprint'))")
    opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    opened.run("document.querySelector('main').style.width = '640px'")
    beyond = opened.run(
        "return Array.from(document.querySelectorAll('.panel'), (each) => each.querySelector('.main-svg')"
        ".getBoundingClientRect().right - each.getBoundingClientRect().right)"
    )
    opened.run("document.querySelector('main').style.width = ''")
    opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert max(beyond) < 1, "pixels"


def test_the_page_prints(opened):
    assert opened.print().startswith(b"%PDF")
