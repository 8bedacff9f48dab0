"""What a page has to say beside its figures: what is not there, and what a reader should know"""

from dataclasses import dataclass, field

from ..facts import Missing


@dataclass
class Notes:
    """Filled while artifacts are read.

    Attributes:
        missing: section -> what is not there.
        remarks: section -> sentences to say beside its figures.
    """

    missing: dict[str, list[Missing]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def miss(self, section: str, what: str, command: str = "") -> None:
        self.missing.setdefault(section, []).append(Missing(what, command))

    def say(self, section: str, sentence: str) -> None:
        self.remarks.setdefault(section, []).append(sentence)
