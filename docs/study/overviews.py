"""Tables over several of the study's comparisons, in Markdown"""

from collections.abc import Mapping

from docs.study.comparison_sections import DEFAULT_PRESET, OTHER_PRESETS
from docs.study.differences import PairedDifference, cell, how_many_are_shown, paired_difference, shown_of_all
from docs.study.markdown import table
from docs.study.results import BUDGETS, CONTROLS, Result, percent_of
from utils.artifacts.comparisons import AVERAGES

# Differences that the text tells of, beside those from a control and from the default preset.
PAIRS = (
    ("s2l_fall", "random_fall"),
    ("s2l_paper", "random_paper"),
    ("s2l_embeddings", DEFAULT_PRESET),
    ("s2l_e25_brittle", "s2l_e25"),
    ("s2l_e25_stable", "s2l_e25"),
    ("prune_then_select", DEFAULT_PRESET),
    ("s2l_e25", "random_e25"),
    ("s2l_e50", "random_e50"),
    ("tacs", "random_aimed"),
    ("tacs", "random_tacs"),
)
CLEAN, NOISY = "study_wide_0.11", "study_noise_0.11"
WEIGHED = ("random", "s2l_released", "s2l_fall", "s2l_brittle")
WEIGHTS = {"selectable": "by the rows to choose from", "pool_rows": "by all rows of the pool"}


def presets_section(results: Mapping[str, Result]) -> str:
    """The presets against the default one, in every comparison that has both."""
    heading = [
        "comparison",
        *(
            f"{label} minus {DEFAULT_PRESET}, {words}"
            for label in OTHER_PRESETS
            for words in AVERAGES.values()
        ),
    ]
    rows, differences = [], []
    for name, result in results.items():
        if DEFAULT_PRESET not in result.arms:
            continue
        found = [
            _difference(result, measure, label, DEFAULT_PRESET)
            for label in OTHER_PRESETS
            for measure in AVERAGES
        ]
        if not any(found):
            continue
        differences += [difference for difference in found if difference is not None]
        rows.append((name, found))
    held = shown_of_all(differences)
    cells = [[name, *(cell(difference, held) for difference in found)] for name, found in rows]
    return f"{table(heading, cells)}\n\n{how_many_are_shown(differences)}"


def pairs_section(results: Mapping[str, Result]) -> str:
    """`PAIRS`, in every comparison that has both arms."""
    rows = [
        (name, label, other, [_difference(result, measure, label, other) for measure in AVERAGES])
        for name, result in results.items()
        for label, other in PAIRS
        if label in result.arms and other in result.arms
    ]
    differences = [each for *_, found in rows for each in found if each is not None]
    held = shown_of_all(differences)
    cells = [
        [name, f"{label} minus {other}", *(cell(each, held) for each in found)]
        for name, label, other, found in rows
    ]
    heading = ["comparison", "arms", *AVERAGES.values()]
    return f"{table(heading, cells)}\n\n{how_many_are_shown(differences)}"


def _difference(result: Result, measure: str, label: str, other: str) -> PairedDifference | None:
    """None where the arm or the average is not there."""
    is_there = label in result.arms and measure in result.averages
    return result.difference(measure, label, other) if is_there else None


def budgets_section(results: Mapping[str, Result]) -> str:
    """What each arm that was run at every budget differs from random_per_source there."""
    control = CONTROLS[0]
    of_budgets = [results[name] for name in BUDGETS if name in results]
    if not of_budgets:
        return "*Not run yet.*"
    labels = [label for label in of_budgets[-1].arms if all(label in each.arms for each in of_budgets)]
    columns = [(measure, result) for measure in AVERAGES for result in of_budgets]
    heading = [
        f"minus {control}",
        *(f"{percent_of(result)}, {AVERAGES[measure]}" for measure, result in columns),
    ]
    rows = [
        [label, *(cell(result.difference(measure, label, control)) for measure, result in columns)]
        for label in labels
        if label != control
    ]
    return table(heading, rows)


def weights_section(results: Mapping[str, Result]) -> str:
    """The average as in the pool, by the rows to choose from, and by all rows."""
    control = CONTROLS[0]
    heading = ["comparison", "arm", *(f"minus {control}, {words}" for words in WEIGHTS.values())]
    rows = []
    for name, result in results.items():
        if len(result.losses) == 1:  # which no weight changes
            continue
        labels = [label for label in WEIGHED if label in result.arms and control in result.arms]
        rows += [
            [name, label, *(cell(_weighted(result, label, control, weight)) for weight in WEIGHTS)]
            for label in labels
        ]
    return table(heading, rows)


def _weighted(result: Result, label: str, control: str, weight: str) -> PairedDifference | None:
    """Args: weight: of `WEIGHTS`."""
    if not any(rows[weight] for rows in result.rows_of.values()):
        return None
    sources = [source for source in result.losses if source in result.rows_of]
    return paired_difference(*(result.mean_losses(each, sources, weight) for each in (label, control)))


def noise_cost_section(results: Mapping[str, Result]) -> str:
    """What each arm loses to noise: its losses on the pool that has some, minus those of the same seed."""
    if not {NOISY, CLEAN} <= results.keys():
        return "*Not run yet.*"
    noisy, clean = results[NOISY], results[CLEAN]
    assert noisy.experiment.seeds == clean.experiment.seeds
    rows = [
        [
            label,
            *(
                cell(paired_difference(noisy.values_of(measure, label), clean.values_of(measure, label)))
                for measure in AVERAGES
            ),
        ]
        for label in noisy.arms
        if label in clean.arms
    ]
    return table(["with noise minus without", *AVERAGES.values()], rows)
