"""Why one row is in a subset or not: its text, the reason, its losses beside its cluster's, its neighbours.

Legend: T checkpoints.
"""

from typing import TYPE_CHECKING

import numpy as np

from ...terminal import WIDTH, labelled, one_line, spread_evenly, unbroken
from .drawing import Scale, band_line, sparkline

if TYPE_CHECKING:
    from ...data.conversations import Conversation
    from ...selection.checks.explain import Explanation, Group, GroupLosses, Losses, Neighbour, Reason

# Of these the first seven say why a row is not selectable.
REASONS: "dict[Reason, str]" = {
    "no text": "it is not selectable: it has no instruction or no response (data.invalid_rows: drop)",
    "benchmark question": "it is not selectable: it contains a benchmark question (subset.decontaminate)",
    "excluded": "it is not selectable: subset.exclude names it",
    "dropped kind": "it is not selectable: subset.drop leaves out its kind (--inspect says which it is)",
    "no loss": "it is not selectable: it has no loss (NaN) at some checkpoint",
    "repeated response": "it is not selectable: an earlier row has the same response (subset.deduplicate)",
    "validation row": "it is not selectable: it is a row of data.validation",
    "response cut off": (
        "it is not selectable: it has no loss (NaN), since the data.max_length that it was scored with"
        "{max_length} cut off its whole response, and what was left is its prompt alone"
    ),
    "required": "it has to be in (subset.include, or subset.extend)",
    "pruned": "its loss falls by less than {min_slope:g} nats per checkpoint (subset.min_slope): pruned",
    "score of the method": "method {method} ranks rows by a score of its own, and {took} this one",
    "limits of sources": (
        "it is number {place:,} in the {order} of {group}, of which {taken:,} are taken, "
        "but not in this order: each source has its limits (subset.min_per_source, subset.max_per_source)"
    ),
    "whole group": "{group} is taken whole",
    "small cluster": (
        "{group} has {size} rows, and clusters of fewer than {min_cluster_size} get nothing "
        "until all others are spent (subset.min_cluster_size)"
    ),
    "order of the group": (
        "it is number {place:,} in the {order} of {group}, of which the first {taken:,} are taken"
    ),
}
_ORDERS = {
    "random": "random order",
    "stable": "order of the sum of what the loss moves, the least first,",
    "brittle": "order of what the loss moves from first to last, the most first,",
}
_NUM_TEXT_LINES = 8
_NUM_TURN_LINES = 4
_NUM_TURNS = 2, 8  # the first and the last of many
_NUM_PLOTTED_CHECKPOINTS = 24
_NUM_NEIGHBOUR_CHECKPOINTS = 16
_PLOT_WIDTH = 54


def explanation_text(explanation: "Explanation") -> str:
    row = explanation.row
    verdict = "IN" if explanation.is_chosen else "NOT in"
    lines = [
        f"row {row} is {verdict} the subset {explanation.folder}",
        "",
        *labelled("pool", unbroken(explanation.origin)),
        *labelled("source", explanation.source or "(none)"),
        *_example_lines(explanation),
        "",
        *labelled("why", _why(explanation)),
        *_quota_lines(explanation),
        "",
    ]
    losses = explanation.losses
    if losses is None:
        return "\n".join([*lines, "  no trajectories are given: nothing to draw, no neighbours"])
    lines += _losses_lines(explanation, losses)
    if losses.neighbours:
        distance = f"Euclidean distance over {len(losses.checkpoints)} checkpoints"
        lines += ["", f"nearest trajectories of all sources, after its own ({distance})"]
        lines += _neighbour_lines(losses.neighbours)
    return "\n".join(lines)


def _example_lines(explanation: "Explanation") -> list[str]:
    example = explanation.example
    if example is None:
        return []
    if example.conversation is not None:
        return _turn_lines(example.conversation)
    lines = labelled("instruction", example.instruction, max_lines=_NUM_TEXT_LINES)
    if example.input:
        lines += labelled("input", example.input, max_lines=_NUM_TEXT_LINES)
    return lines + labelled("response", example.response, max_lines=_NUM_TEXT_LINES)


def _turn_lines(conversation: "Conversation") -> list[str]:
    """Who says what, in order. Of many turns the middle is left out."""
    turns = conversation.turns()
    labels = [f"{turn.speaker} *" if turn.is_scored else turn.speaker for turn in turns]
    shown = [
        labelled(label, turn.text, max_lines=_NUM_TURN_LINES)
        for label, turn in zip(labels, turns, strict=True)
    ]
    num_left_out = len(turns) - sum(_NUM_TURNS)
    if num_left_out > 1:
        first, last = _NUM_TURNS
        shown = [*shown[:first], labelled("", f"... {num_left_out:,} turns ..."), *shown[-last:]]
    return [*(line for lines in shown for line in lines), *labelled("*", "scored")]


def _why(explanation: "Explanation") -> str:
    sentence = REASONS[explanation.reason]
    standing = explanation.standing
    if standing is None:
        max_length = None if explanation.losses is None else explanation.losses.max_length
        return sentence.format(max_length="" if max_length is None else f" ({max_length:,})")
    settings = explanation.settings
    return sentence.format(
        group=_group_name(standing.group),
        order=_ORDERS[settings.pick if standing.group.kind == "cluster" else "random"],
        size=len(standing.members),
        place=standing.place,
        taken=standing.taken,
        method=settings.method,
        took="took" if explanation.is_chosen else "left",
        min_slope=settings.min_slope,
        min_cluster_size=settings.min_cluster_size,
        max_length="",
    )


def _group_name(group: "Group") -> str:
    return "the pool" if group.kind == "pool" else f"{group.kind} {group.name}"


def _quota_lines(explanation: "Explanation") -> list[str]:
    quotas = explanation.quotas
    standing = explanation.standing
    if quotas is None or standing is None:
        return []
    lines = [
        *labelled("quotas", f"budget: {quotas.chosen:,} of {quotas.selectable:,} selectable rows"),
        *labelled("", f"its source: {quotas.chosen_of_source:,} of {quotas.selectable_of_source:,}"),
    ]
    if standing.group.kind == "cluster":
        taken = f"{standing.taken:,} of {len(standing.members):,}"
        lines += labelled("", f"{_group_name(standing.group)}: {taken}")
    return lines


def _losses_lines(explanation: "Explanation", losses: "Losses") -> list[str]:
    title = "loss (mean nats per response token) by checkpoint"
    standing = explanation.standing
    if losses.group is None or standing is None:
        numbers = zip(losses.checkpoints, losses.losses_T.tolist(), strict=True)
        return [title, *(f"{name:>20}{loss:>10.3f}" for name, loss in numbers)]
    beside = f"{_group_name(standing.group)} ({len(standing.members):,} rows)"
    return [f"{title}, beside {beside}", *_plot_lines(losses, losses.group)]


def _plot_lines(losses: "Losses", group: "GroupLosses") -> list[str]:
    """The row's loss at each checkpoint beside its group's mean and band, as numbers and as a plot."""
    every_loss = np.concatenate([losses.losses_T, group.low_T, group.high_T])
    scale = Scale(float(np.nanmin(every_loss)), float(np.nanmax(every_loss)))
    ends = f"{scale.lowest:.2f}".ljust(_PLOT_WIDTH - 5) + f"{scale.highest:5.2f}"
    lines = [f"{'step':>10}{'row':>8}{'mean':>8}{'10-90 % band':>16}    {ends}"]
    for column in spread_evenly(len(losses.checkpoints), _NUM_PLOTTED_CHECKPOINTS):
        loss = losses.losses_T[column]
        low = group.low_T[column]
        mean = group.mean_T[column]
        high = group.high_T[column]
        plot = band_line(loss, (low, mean, high), scale, _PLOT_WIDTH)
        band = f"{low:.2f} - {high:.2f}"
        numbers = f"{losses.checkpoints[column]:>10}{loss:>8.3f}{mean:>8.3f}{band:>16}"
        lines.append(f"{numbers}    {plot}".rstrip())
    return [*lines, f"{'':<46}o this row   | mean   ... band   @ row at the mean"]


def _neighbour_lines(neighbours: "list[Neighbour]") -> list[str]:
    """The nearest rows, one a line. Args: neighbours: the row itself first."""
    if len(neighbours) == 1:
        return ["  no other row has a trajectory"]
    shown = spread_evenly(len(neighbours[0].losses_T), _NUM_NEIGHBOUR_CHECKPOINTS)
    losses_kT = np.stack([neighbour.losses_T[shown] for neighbour in neighbours])
    scale = Scale(float(losses_kT.min()), float(losses_kT.max()))
    width = max(len(shown), len("losses"))
    lines = [f"{'row':>12}{'distance':>10}  {'subset':<8}{'cluster':>9}  {'losses':<{width}}  text"]
    for neighbour, losses_T in zip(neighbours, losses_kT, strict=True):
        cluster = "-" if neighbour.cluster is None else str(neighbour.cluster)
        line = (
            f"{neighbour.row:>12}{neighbour.distance:>10.4f}  {'chosen' if neighbour.is_chosen else '-':<8}"
            f"{cluster:>9}  {sparkline(losses_T, scale):<6}  "
        )
        lines.append((line + one_line(neighbour.topic, WIDTH - len(line))).rstrip())
    return lines
