"""Each figure of the page, defined once: from what was read to series of numbers

Legend: N rows of the pool, T checkpoints, K clusters.
"""

import statistics
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ...artifacts.comparisons import ArmValue, Comparison
from .charts import Chart, Series, number
from .clusters import ClusterTable, members_of_clusters, shares_of_commonest
from .facts import ComparisonFacts, LossFacts, SubsetFacts, TrainingCurve
from .histograms import Histogram, LossMap, histogram
from .labels import lines_of
from .tiles import measure_name

_NUM_LINES = 24  # trajectories of a figure
_NUM_SOURCES = 20
_NUM_POINTS = 300  # of a curve
_TRAJECTORY = "loss (nats per response token)"
_CHECKPOINT = "checkpoint (optimizer step)"
_SEED = 0
_IN_THE_TABLE_ALONE = ("loss", "accuracy_average", "accuracy_strict_average")  # beside what says more


# Loss trajectories


def panel_chart(table: ClusterTable, losses: LossFacts) -> Chart:
    """The pattern of the small figure of each cluster, filled with the first."""
    places = list(range(len(losses.checkpoints)))
    band = Series(
        "", places, _floats(table.mean_KT[0]), "line", _floats(table.low_KT[0]), _floats(table.high_KT[0])
    )
    return Chart("panel", "", "", "", "", [band], x_marks=losses.checkpoints, height=150)


def members_chart(table: ClusterTable, losses: LossFacts) -> Chart:
    """The pattern of the figure of a cluster that was clicked: its band, some rows, chosen and not."""
    places = list(range(len(losses.checkpoints)))
    mean = _floats(table.mean_KT[0])
    series = [
        Series("not chosen", places, mean, look=None, is_thin=True),
        Series("chosen", places, mean, look=1, is_thin=True),
        Series(
            "mean, 10–90 % band", places, mean, "line", _floats(table.low_KT[0]), _floats(table.high_KT[0])
        ),
    ]
    return Chart("members", "", "", _CHECKPOINT, _TRAJECTORY, series, x_marks=losses.checkpoints)


def row_chart(losses: LossFacts, table: ClusterTable | None) -> Chart:
    """The pattern of the figure of a row: its trajectory over the band of its cluster."""
    places = list(range(len(losses.checkpoints)))
    zeros = [0.0] * len(places)
    series = [Series("this row", places, zeros, look=1)]
    if table is not None:
        series.insert(0, Series("its cluster, mean and 10–90 % band", places, zeros, "line", zeros, zeros))
    return Chart("row", "", "", _CHECKPOINT, _TRAJECTORY, series, x_marks=losses.checkpoints, height=260)


def one_cluster_and_many(subset: SubsetFacts, table: ClusterTable, losses: LossFacts) -> list[Chart]:
    """The paper's figure: trajectories of one cluster are alike, those of different clusters are not."""
    draw = np.random.default_rng(_SEED)
    clusters_N = subset.clusters_N
    largest = int(table.numbers[0])
    members = np.flatnonzero(clusters_N == largest)
    of_one = np.sort(draw.choice(members, min(_NUM_LINES, len(members)), replace=False))
    places = np.unique(np.linspace(0, len(table.numbers) - 1, _NUM_LINES).round().astype(int))
    of_many = np.array([draw.choice(np.flatnonzero(clusters_N == each)) for each in table.numbers[places]])
    return [
        _lines(
            "one_cluster",
            f"Rows of one cluster: {len(of_one)} of cluster {largest}",
            "Drawn at random from the largest cluster.",
            of_one,
            losses,
            0,
        ),
        _lines(
            "different_clusters",
            f"Rows of different clusters: one of each of {len(of_many)}",
            "One row at random from each of some clusters, from the largest to the smallest.",
            of_many,
            losses,
            1,
        ),
    ]


def _lines(key: str, title: str, note: str, rows: np.ndarray, losses: LossFacts, look: int) -> Chart:
    losses_mT = _losses_of(rows, losses)
    places = list(range(losses_mT.shape[1]))
    x: list[int | None] = []
    y: list[float | None] = []
    for losses_T in losses_mT:
        x += [*places, None]
        y += [*_floats(losses_T), None]
    heading = ["row", *losses.checkpoints]
    table = [
        [f"{row:,}", *map(number, _floats(losses_T))]
        for row, losses_T in zip(rows.tolist(), losses_mT, strict=True)
    ]
    series = [Series("", x, y, look=look, is_thin=True)]
    return Chart(
        key, title, note, _CHECKPOINT, _TRAJECTORY, series,
        heading=heading, table=table, x_marks=losses.checkpoints, links=[f"#row={row}" for row in rows],
    )  # fmt: skip


def commonest_source(subsets: Sequence[SubsetFacts]) -> Chart | None:
    """The paper's figure: how far clusters gather one source, for each kind of clusters of the page."""
    series = []
    table = []
    for look, subset in enumerate(each for each in subsets if each.has_clusters):
        members = list(members_of_clusters(subset).values())
        sizes = np.array([sum(rows for _, rows, _ in entries) for entries in members])
        shares = np.sort(shares_of_commonest(members, sizes))[::-1]
        x = (np.arange(len(shares)) + 1) / len(shares)
        some = np.unique(np.linspace(0, len(shares) - 1, _NUM_POINTS).round().astype(int))
        name = f"{subset.name}, clusters of {subset.clusters_of}"
        series.append(Series(name, _floats(x[some]), _floats(shares[some]), "steps", look=look))
        table.append([name, f"{len(shares):,}", f"{shares.mean():.1%}", f"{float(np.median(shares)):.1%}"])
    if all(subset.per_source for subset in subsets if subset.has_clusters):
        return None  # every share is 1 by construction
    note = "Each cluster's rows of its commonest source, over all its rows. Clusters in falling order."
    return Chart(
        "commonest_source",
        "Share of the commonest source in each cluster",
        note,
        "share of the clusters",
        "share of the commonest source",
        series,
        heading=["clusters", "how many", "mean share", "median share"],
        table=table,
    )


# The map


def map_chart(loss_map: LossMap, subsets: Sequence[SubsetFacts]) -> Chart:
    """Every row of the pool by its mean loss and by how much it fell."""
    cells = np.argwhere(loss_map.rows_XY > 0)
    x_centres = (loss_map.x_edges[:-1] + loss_map.x_edges[1:]) / 2
    y_centres = (loss_map.y_edges[:-1] + loss_map.y_edges[1:]) / 2
    sizes = [int(loss_map.rows_XY[x, y]) for x, y in cells]
    taken = [int(loss_map.taken_XY[0][x, y]) for x, y in cells] if subsets else [0] * len(cells)
    shades = [chosen / size for chosen, size in zip(taken, sizes, strict=True)]
    texts = [
        f"{size:,} rows, {chosen:,} chosen; mean loss {x_centres[x]:.3g}, fell by {y_centres[y]:.3g}"
        for (x, y), size, chosen in zip(cells, sizes, taken, strict=True)
    ]
    note = "Each square is a cell of the map; its area says how many rows lie there. "
    if subsets:
        note += f"Its colour says which share of them is in the subset ({subsets[0].name}). "
    note += "The outermost cells hold what lies beyond them. "
    note += "Click a square, or its line in the table below, to list its rows."
    order = sorted(range(len(cells)), key=lambda place: -sizes[place])
    numbers = map_cells(loss_map)
    table = [
        [
            f"{x_centres[cells[place][0]]:.3g}",
            f"{y_centres[cells[place][1]]:.3g}",
            f"{sizes[place]:,}",
            f"{taken[place]:,}",
        ]
        for place in order
    ]
    series = Series(
        "",
        [float(x_centres[x]) for x, _ in cells],
        [float(y_centres[y]) for _, y in cells],
        "cells",
        texts=texts,
        sizes=sizes,
        shades=shades,
    )
    return Chart(
        "map",
        "All rows: mean loss over the checkpoints against its fall from the first to the last",
        note,
        "mean loss (nats per response token)",
        "fall of the loss",
        [series],
        heading=["mean loss", "fall", "rows", "chosen"],
        table=table,
        links=[f"#cell={numbers[place]}" for place in order],
        height=440,
        shade_title="share chosen",
    )


def map_cells(loss_map: LossMap) -> list[int]:
    """The numbers of the cells in the order of the points of `map_chart`."""
    num_y = loss_map.rows_XY.shape[1]
    return [int(x * num_y + y) for x, y in np.argwhere(loss_map.rows_XY > 0)]


# Before and after


def source_mix(subsets: Sequence[SubsetFacts]) -> Chart | None:
    """Shares of the sources in the pool and in each subset."""
    if not subsets:
        return None
    sources = subsets[0].composition["sources"]
    names = sorted(sources, key=lambda name: (-sources[name]["pool_rows"], name))
    shown, others = names[:_NUM_SOURCES], names[_NUM_SOURCES:]
    labels = list(shown)
    if others:
        labels.append(f"{len(others):,} other sources")

    def shares(subset: SubsetFacts, entry: str) -> list[float]:
        of = subset.composition["sources"]
        values = [float(of[name][entry]) if name in of else 0.0 for name in shown]
        return [*values, sum(float(of[name][entry]) for name in others if name in of)] if others else values

    pool = shares(subsets[0], "share_of_pool")
    series = [Series("pool", pool, labels, "bars", look=None)]
    columns = [pool]
    for look, subset in enumerate(subsets):
        columns.append(shares(subset, "share_of_subset"))
        series.append(Series(subset.name, columns[-1], labels, "bars", look=look))
    table = [
        [label or "(no source)", *(f"{column[place]:.2%}" for column in columns)]
        for place, label in enumerate(labels)
    ]
    num_lines = max(len(lines_of(label)) for label in labels)
    return Chart(
        "source_mix",
        "Where the rows come from",
        "Share of each source, in the pool and in the subset.",
        "share of the rows",
        "",
        series,
        names_on_y=True,
        heading=["source", "pool", *(subset.name for subset in subsets)],
        table=table,
        height=max(260, 40 + len(labels) * max(10 + 12 * len(series), 8 + 14 * num_lines)),
    )


def before_and_after(losses: LossFacts, subsets: Sequence[SubsetFacts]) -> list[Chart]:
    """Lengths and losses in the pool and in each subset."""
    charts = []
    some = list(subsets)
    if losses.tokens_N is not None:
        charts.append(
            _histogram_chart(
                "response_length",
                "Response length",
                "tokens of the response",
                histogram(np.asarray(losses.tokens_N, np.float32), some, is_log=True),
                some,
                x_log=True,
            )
        )
    ends = {"first": losses.columns[0], "last": losses.columns[-1]}
    if len(losses.columns) == 1:
        del ends["first"]
    for name, column_N in ends.items():
        checkpoint = losses.checkpoints[0 if name == "first" else -1]
        charts.append(
            _histogram_chart(
                f"{name}_loss",
                f"Loss at the {name} checkpoint ({checkpoint})",
                _TRAJECTORY,
                histogram(np.asarray(column_N), some),
                some,
            )
        )
    return charts


def _histogram_chart(
    key: str, title: str, x_title: str, bins: Histogram, subsets: Sequence[SubsetFacts], x_log: bool = False
) -> Chart:
    x = _floats(bins.edges)
    named = [("pool", bins.pool), *zip((subset.name for subset in subsets), bins.subsets, strict=True)]
    series = []
    for place, (name, shares) in enumerate(named):
        y = _floats(shares)
        series.append(Series(name, x, [*y, y[-1]], "steps", look=None if place == 0 else place - 1))
    table = [
        [f"{low:.3g} to {high:.3g}", *(f"{shares[place]:.2%}" for _, shares in named)]
        for place, (low, high) in enumerate(pairwise(x))
    ]
    note = "Share of the rows in each bin; the outer bins hold what lies beyond."
    heading = [x_title, *(name for name, _ in named)]
    return Chart(key, title, note, x_title, "share of the rows", series, x_log, heading=heading, table=table)


# Trust


def stability_chart(subset: SubsetFacts) -> Chart | None:
    """How far the clusters and the subset would be the same, if one thing changed."""
    stability = subset.stability
    if stability is None:
        return None
    changes: list[tuple[str, dict[str, float]]] = [
        (f"another k-means seed, {place}", agreement)
        for place, agreement in enumerate(stability["other_seeds"], start=1)
    ]
    changes += [
        (f"without checkpoint {name}", agreement)
        for name, agreement in stability["without_checkpoint"].items()
    ]
    changes += [
        ("the mean loss alone", stability["mean_loss_alone"]),
        ("the last loss alone", stability["last_loss_alone"]),
        ("no clusters at all", stability["no_clusters"]),
    ]
    if "target_losses" in stability:
        changes.insert(0, ("the target's losses", stability["target_losses"]))
    of_clusters = [(name, each["clusters"]) for name, each in changes if "clusters" in each]
    series = [
        Series("same rows chosen (Jaccard)", [each["subset"] for _, each in changes],
               [name for name, _ in changes], "points", look=1),
        Series("same clusters (adjusted Rand index)", [value for _, value in of_clusters],
               [name for name, _ in of_clusters], "points", look=0),
    ]  # fmt: skip
    table = [[name, number(each.get("clusters")), number(each["subset"])] for name, each in changes]
    return Chart(
        "stability",
        "What would stay the same, if one thing changed",
        "1 = all the same. Clusters: 0 = no more than chance. Rows: rows in both over rows in either.",
        "agreement",
        "",
        series,
        names_on_y=True,
        heading=["changed", "clusters", "rows"],
        table=table,
        height=60 + 24 * len(changes),
    )


# The comparison


def value_charts(facts: ComparisonFacts) -> list[Chart]:
    """A dot plot of each measure: every arm with its intervals."""
    comparison = facts.comparison
    by_measure: dict[tuple[str, str], list[ArmValue]] = {}
    for value in comparison.arm_values:
        by_measure.setdefault((value.question_set, value.measure), []).append(value)
    charts = []
    for (question_set, measure), values in by_measure.items():
        if measure in _IN_THE_TABLE_ALONE and not _is_metric(comparison, question_set, measure):
            continue
        names = [comparison.arm(value.arm).title for value in values]
        series = []
        for look, (words, attribute) in enumerate(
            {"over runs (other seeds)": "over_runs", "over questions": "over_questions"}.items()
        ):
            some = [place for place, value in enumerate(values) if getattr(value, attribute) is not None]
            if some:
                intervals = [getattr(values[place], attribute) for place in some]
                series.append(
                    Series(
                        f"{comparison.confidence:.0%} interval {words}",
                        [values[place].mean for place in some],
                        [names[place] for place in some],
                        "points",
                        [low for low, _ in intervals],
                        [high for _, high in intervals],
                        look,
                    )
                )
        if not series:
            series = [Series("one run", [value.mean for value in values], names, "points", look=0)]
        title = measure_name([question_set], measure)
        table = [
            [name, number(value.mean), _interval(value.over_runs), _interval(value.over_questions)]
            for name, value in zip(names, values, strict=True)
        ]
        budget = f"_{facts.budget}" if facts.budget else ""
        charts.append(
            Chart(
                f"values_{question_set}_{measure}{budget}",
                title[0].upper() + title[1:],
                "Mean over the runs of each arm.",
                measure.replace("_", " "),
                "",
                series,
                names_on_y=True,
                heading=["arm", "mean", "over runs", "over questions"],
                table=table,
                height=120 + 40 * len(values),
            )
        )
    return charts


def difference_chart(facts: ComparisonFacts) -> Chart | None:
    """The first arm minus each other one, with intervals, beside a line at 0."""
    comparison = facts.comparison
    if not comparison.differences:
        return None
    series = []
    names = [
        f"{comparison.arms[0].letter} − {each.arm}: {measure_name(each.question_sets, each.measure)}"
        for each in comparison.differences
    ]
    for look, (words, attribute) in enumerate(
        {"over runs (other seeds)": "over_runs", "over questions": "over_questions"}.items()
    ):
        some = [
            place for place, each in enumerate(comparison.differences) if getattr(each, attribute) is not None
        ]
        if some:
            intervals = [getattr(comparison.differences[place], attribute) for place in some]
            series.append(
                Series(
                    f"{comparison.confidence:.0%} interval {words}",
                    [comparison.differences[place].mean for place in some],
                    [names[place] for place in some],
                    "points",
                    [low for low, _ in intervals],
                    [high for _, high in intervals],
                    look,
                )
            )
    bare = [
        place
        for place, each in enumerate(comparison.differences)
        if each.over_runs is None and each.over_questions is None
    ]
    if bare:
        means = [comparison.differences[place].mean for place in bare]
        series.append(
            Series("one run: not tested", means, [names[place] for place in bare], "points", look=None)
        )
    table = [
        [name, f"{each.mean:+.4f}", each.verdict, _interval(each.over_runs), _interval(each.over_questions)]
        for name, each in zip(names, comparison.differences, strict=True)
    ]
    budget = f"_{facts.budget}" if facts.budget else ""
    return Chart(
        f"differences{budget}",
        f"{comparison.arms[0].title} minus each other arm",
        "A difference is called shown if no interval that is there holds 0.",
        "difference",
        "",
        series,
        names_on_y=True,
        heading=["difference", "mean", "verdict", "over runs", "over questions"],
        table=table,
        height=120 + 42 * len(names),
    )


def cost_chart(facts: ComparisonFacts) -> Chart | None:
    """What each arm cost, stage by stage, beside training on everything."""
    comparison = facts.comparison
    unit = next(
        (
            unit
            for unit in ("operations", "device_seconds")
            if any(getattr(cost.total, unit) is not None for cost in comparison.costs)
        ),
        None,
    )
    if unit is None:
        return None
    words = {"operations": "floating-point operations", "device_seconds": "device-seconds"}[unit]
    names: list[str] = []
    rows: list[dict[str, float]] = []
    for cost in comparison.costs:
        names.append(comparison.arm(cost.arm).title)
        rows.append(
            {
                stage: value
                for stage, each in cost.stages.items()
                if (value := getattr(each, unit)) is not None
            }
        )
    # Where an arm trained on everything its cost stands there; else what it would be, once for all alike.
    reckoned: dict[float, list[str]] = {}
    if all(arm.method != "whole pool" for arm in comparison.arms):
        for cost in comparison.costs:
            everything = None if cost.everything is None else getattr(cost.everything, unit)
            if everything is not None:
                reckoned.setdefault(everything, []).append(cost.arm)
    for everything, letters in reckoned.items():
        names.append(f"{', '.join(letters)} on everything, reckoned")
        rows.append({"target": everything})
    stages = list(dict.fromkeys(stage for row in rows for stage in row))
    series = [
        Series(stage, [row.get(stage, 0.0) for row in rows], names, "bars", look=look)
        for look, stage in enumerate(stages)
    ]
    budget = f"_{facts.budget}" if facts.budget else ""
    return Chart(
        f"costs{budget}",
        "What each arm cost",
        f"In {words}, stage by stage, means over the runs.",
        words,
        "",
        series,
        names_on_y=True,
        heading=["arm", *stages, "in all"],
        table=[
            [name, *(number(row.get(stage)) for stage in stages), number(sum(row.values()))]
            for name, row in zip(names, rows, strict=True)
        ],
        height=130 + 32 * len(names),
        is_stacked=True,
    )


def all_values(facts: ComparisonFacts) -> Chart:
    """A table: every measure of each arm."""
    comparison = facts.comparison
    by_measure: dict[tuple[str, str], dict[str, ArmValue]] = {}
    for value in comparison.arm_values:
        by_measure.setdefault((value.question_set, value.measure), {})[value.arm] = value
    table = []
    for (question_set, measure), of_arms in by_measure.items():
        cells = [of_arms.get(arm.letter) for arm in comparison.arms]
        means = ["" if value is None else number(value.mean) for value in cells]
        table.append([measure_name([question_set], measure), *means])
    heading = ["mean over the runs", *(arm.title for arm in comparison.arms)]
    return Chart("all_values", "All measures", "", "", "", [], heading=heading, table=table)


def _is_metric(comparison: Comparison, question_set: str, name: str) -> bool:
    return any(
        measure.is_metric and (measure.question_set, measure.name) == (question_set, name)
        for measure in comparison.measures
    )


def score_against_budget(comparisons: Sequence[ComparisonFacts]) -> Chart | None:
    """The paper's figure: a score of each method at each budget, with intervals over runs."""
    points: dict[str, dict[int, ArmValue]] = {}
    measure = _main_measure([facts.comparison for facts in comparisons])
    if measure is None:
        return None
    whole: list[ArmValue] = []
    for facts in comparisons:
        for value in facts.comparison.arm_values:
            if (value.question_set, value.measure) != measure:
                continue
            arm = facts.comparison.arm(value.arm)
            if arm.method == "whole pool":
                whole = [value]
            elif arm.num_examples:
                points.setdefault(arm.method, {})[arm.num_examples] = value
    if max((len(of_method) for of_method in points.values()), default=0) < 2:
        return None
    series = []
    table = []
    for look, (method, of_method) in enumerate(points.items()):
        budgets = sorted(of_method)
        values = [of_method[budget] for budget in budgets]
        known = all(value.over_runs is not None for value in values)
        intervals = [value.over_runs or (value.mean, value.mean) for value in values]
        low = [each[0] for each in intervals] if known else None
        high = [each[1] for each in intervals] if known else None
        series.append(Series(method, budgets, [value.mean for value in values], "line", low, high, look))
        table += [
            [method, f"{budget:,}", number(value.mean), _interval(value.over_runs)]
            for budget, value in zip(budgets, values, strict=True)
        ]
    if whole:
        ends = [min(budget for each in points.values() for budget in each),
                max(budget for each in points.values() for budget in each)]  # fmt: skip
        series.append(Series("whole pool", ends, [whole[0].mean] * 2, "line", look=None))
        table.append(["whole pool", "all", number(whole[0].mean), _interval(whole[0].over_runs)])
    title = measure_name([measure[0]], measure[1])
    return Chart(
        "score_against_budget",
        f"{title[0].upper()}{title[1:]}, by budget",
        "Mean over the runs of a method; bands are intervals over runs.",
        "rows of the subset",
        measure[1].replace("_", " "),
        series,
        heading=["method", "rows", "mean", "over runs"],
        table=table,
    )


def _main_measure(comparisons: Sequence[Comparison]) -> tuple[str, str] | None:
    """The set and measure that every comparison has: an accuracy if there is one."""
    for name in ("accuracy_strict", "accuracy", "loss_average"):
        for comparison in comparisons:
            for value in comparison.arm_values:
                if value.measure == name:
                    return value.question_set, name
    return None


def training_curves(curves: Sequence[TrainingCurve]) -> Chart | None:
    """The loss of each training, smoothed, an arm in one colour."""
    if not curves:
        return None
    looks = {arm: look for look, arm in enumerate(dict.fromkeys(curve.arm for curve in curves))}
    series = []
    named: set[str] = set()
    table = []
    for curve in curves:
        steps, losses = _smoothed(curve)
        if steps:
            name = "" if curve.arm in named else curve.arm
            named.add(curve.arm)
            series.append(Series(name, steps, losses, "line", look=looks[curve.arm]))
            table.append([curve.run, f"{curve.steps[-1]:,}", number(curve.losses[0]), number(losses[-1])])
    if not series:
        return None
    return Chart(
        "training_curves",
        "Training loss",
        f"Means of pieces of a training, at most {_NUM_POINTS // 3} of each; runs of an arm look alike.",
        "optimizer step",
        _TRAJECTORY,
        series,
        heading=["run", "steps", "loss of the first step", "mean of the last piece"],
        table=table,
    )


def _smoothed(curve: TrainingCurve) -> tuple[list[int], list[float]]:
    size = max(1, -(-len(curve.steps) // (_NUM_POINTS // 3)))
    starts = range(0, len(curve.steps), size)
    steps = [curve.steps[start : start + size][-1] for start in starts]
    return steps, [statistics.mean(curve.losses[start : start + size]) for start in starts]


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _losses_of(rows: np.ndarray, losses: LossFacts) -> np.ndarray:
    """float32 (m, T)."""
    return np.stack([np.asarray(column_N[rows]) for column_N in losses.columns], axis=1)


def _floats(values: np.ndarray) -> list[float]:
    """Numbers short enough for a page and exact enough for a figure."""
    return [float(f"{value:.5g}") for value in values]
