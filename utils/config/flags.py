"""A command line that names the flag that was meant.

It knows another spelling, a flag's beginning, a setting with dashes before it, and a YAML without its flag.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from ..terminal import readable
from .names import SYNONYMS, meant_key, nearest
from .problems import known_keys
from .schema import RunConfig
from .wandb_key import without_keys

_FLAG = re.compile(r"(--?[A-Za-z][\w.-]*)(=.*)?", re.DOTALL)
# What a flag is called here -> what it is called elsewhere, and in our other scripts.
_CALLED_ELSEWHERE = {
    "config_file": "config cfg yaml run runs",
    "experiment": "run runs name comparison",
    "ckpt": "ckpts checkpoint checkpoints step steps",
    "checkpoints": "ckpt ckpts checkpoint step steps",
    "model_path": "model model_name_or_path checkpoint_dir",
    "overwrite": "force restart",
    "dry_run": "check plan",
    "output_dir": "output_path out output",
}


class CommandParser(argparse.ArgumentParser):
    """argparse's parser, with errors of one line that show no key. A flag is known by its whole name only."""

    def __init__(self, description: str | None):
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] (its overloads)
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """All of argparse's ways to parse come through here."""
        words = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown_flags(words)
        self._refuse_words_without_flag(words)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {readable(without_keys(message))} (--help lists all flags)\n")

    def _refuse_unknown_flags(self, words: list[str]) -> None:
        for word in words:
            if word == "--":
                return
            flag = _FLAG.fullmatch(word)
            if flag is not None and flag[1] not in self._option_string_actions:
                self.error(f"found {flag[1]}, {self._meant(flag[1])}")

    def _meant(self, flag: str) -> str:
        """Never shows the word behind the flag: it may be a secret."""
        known = [name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")]
        plain = flag.lstrip("-").casefold().replace("-", "_")
        takes_settings = any(action.dest == "overrides" for action in self._actions)
        keys = known_keys(RunConfig) if takes_settings else []
        is_setting = plain in keys or plain in SYNONYMS or any(key.endswith(f".{plain}") for key in keys)
        meant = [name for name in known if name.startswith(plain)]
        meant += [
            name for name, others in _CALLED_ELSEWHERE.items() if name in known and plain in others.split()
        ]
        if not meant and not is_setting:
            meant = [name for name in [nearest(plain, known)] if name is not None]
        if meant:
            return f"expected --{' or --'.join(dict.fromkeys(meant))}"
        if takes_settings:
            key = plain if plain in keys else meant_key(plain, keys)
            return f"expected a setting without dashes, such as {key or 'key.sub'}=value"
        return f"expected one of --{', --'.join(known)}"

    def _refuse_words_without_flag(self, words: list[str]) -> None:
        """A YAML, and any word where the script takes none."""
        takes_words = any(not action.option_strings for action in self._actions)
        if "--config_file" not in self._option_string_actions:
            return
        action = None  # of the flag whose values these words are
        for before, word in zip(["", *words], words, strict=False):
            takes_several = action is not None and action.nargs == "+"
            action = self._option_string_actions.get(before, action if takes_several else None)
            is_value = action is not None and action.nargs != 0
            is_yaml = word.endswith((".yml", ".yaml")) and not word.startswith("-") and "=" not in word
            if is_yaml and not is_value:
                self.error(f"found {word} without a flag, expected --config_file {word}")
            if not takes_words and not is_value and not word.startswith("-"):
                or_name = f" or --experiment {word}" if "--experiment" in self._option_string_actions else ""
                self.error(f"found {word} without a flag, expected --config_file YAML{or_name}")
