"""The lines that the plans of training and scoring share: model, time, what is cut off the examples."""

from typing import TYPE_CHECKING

from ...terminal import counted, duration, labelled, unbroken, wrapped

if TYPE_CHECKING:
    from ...artifacts.pace import TimeEstimate
    from ...data.truncation import Truncation
    from ...modeling.devices import ModelSize


def model_lines(model: "ModelSize") -> list[str]:
    """The model's parameters, and how many of them are trained where that is not all."""
    words = f"{unbroken(model.name)}, {model.num_parameters:,} parameters"
    if model.num_trained != model.num_parameters:
        words += f", {model.num_trained:,} of them trained"
    return labelled("model", words)


def time_lines(time: "TimeEstimate | None") -> list[str]:
    if time is None:
        return labelled("time", "not known before this model has run on such a device")
    if not time.seconds:
        return labelled("time", "none: it is there already")
    return labelled("time", f"about {duration(time.seconds)}, at the pace of run {time.run_name}")


def truncation_lines(truncation: "Truncation") -> list[str]:
    """What data.max_length cuts off, with a warning where that is much, and the lengths that cut off less."""
    max_length = truncation.max_length
    if truncation.num_lost + truncation.num_cut == 0:
        longest = truncation.lengths[1.0]
        return wrapped(f"max_length {max_length} cuts nothing off: the longest example has {longest} tokens")
    parts = []
    if truncation.num_lost:
        lost = _share(truncation.num_lost, truncation.num_examples)
        parts.append(f"the whole response of {lost}, which teach nothing and have no loss")
    if truncation.num_cut:
        parts.append(f"a part of {_share(truncation.num_cut, truncation.num_examples)}")
    warning = "WARNING: " if truncation.is_severe else ""
    left = f"{_percent(truncation.response_tokens_kept)} of the response tokens are left"
    enough = [
        f"{_percent(share)} of the examples whole at {length}" for share, length in truncation.lengths.items()
    ]
    return [
        *wrapped(f"{warning}max_length {max_length} cuts off {', and '.join(parts)}; {left}"),
        *wrapped(f"  data.max_length keeps {', '.join(enough)}", indent="    "),
    ]


def _share(number: int, of_all: int) -> str:
    return f"{counted(number, 'example')} ({_percent(number / of_all)})"


def _percent(share: float) -> str:
    """Only nothing is 0 %, only all is 100 %."""
    percent = 100 * share
    if 0 < share < 1:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.3g} %"
