"""A wandb key on a command line: taken out before anything can record, import or print it.

However the flag is spelt, no message of this module holds a word that may be a key.
"""

import os
import re

FLAG = "--wandb_key"
_WAY_OUT = "set WANDB_API_KEY in the environment, which is the better way"
_LAST_NAME = r"wandb[-_]?(?:api[-_]?)?key"
_NAME = rf"(?:[\w-]+\.)*{_LAST_NAME}"
_SPELLING = re.compile(rf"(?P<name>-{{0,2}}{_NAME})(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"\w[\w-]*")  # no flag, no setting, no path
_LONE_KEY = re.compile(r"(?:local-)?[0-9a-f]{40}|wandb_v1_\w+", re.IGNORECASE)  # what wandb hands out
# No word of a message of ours is as long as a key.
_KEY_IN_TEXT = re.compile(rf"({_LAST_NAME}\W{{1,6}})[\w-]{{16,}}", re.IGNORECASE)


def take_wandb_key(words: list[str]) -> tuple[list[str], str | None]:
    """Remove `--wandb_key K` or `--wandb_key=K` from a command line.

    A flag or a setting is never taken for the key.

    Returns:
        The command line without it, and the key or None.

    Raises:
        ValueError: a flag without a key, or a key given in any other way.
    """
    rest: list[str] = []
    keys: list[str] = []
    remaining = iter(range(len(words)))
    for position in remaining:
        word = words[position]
        if _LONE_KEY.fullmatch(word):
            raise ValueError(f"found a word that looks like a wandb key without {FLAG} before it: {_WAY_OUT}")
        spelling = _SPELLING.fullmatch(word)
        if spelling is None:
            rest.append(word)
        elif spelling["name"] != FLAG or (spelling["rest"] and not spelling["rest"].startswith("=")):
            raise ValueError(
                f"found a wandb key given as {_shown(spelling)}, expected {FLAG} KEY: {_WAY_OUT}"
            )
        else:
            following = words[position + 1 : position + 2]
            value = spelling["rest"][1:] if spelling["rest"] else "".join(following)
            if not _KEY.fullmatch(value):
                raise ValueError(
                    f"{FLAG}: found no key after it, expected {FLAG} KEY: leave the flag out, or {_WAY_OUT}"
                )
            keys.append(value)
            if not spelling["rest"]:
                next(remaining)
    return rest, keys[-1] if keys else None


def is_key_name(name: str) -> bool:
    """Whether a setting of this name would hold a wandb key."""
    return re.fullmatch(_NAME, name, re.IGNORECASE) is not None


def without_keys(text: str) -> str:
    """The text with each wandb key in it replaced: what follows such a name, and the environment's own."""
    own = os.environ.get("WANDB_API_KEY", "")
    text = text.replace(own, "***") if len(own) >= 16 else text
    return _KEY_IN_TEXT.sub(r"\1***", text)


def _shown(spelling: re.Match[str]) -> str:
    """The spelling without the key itself, which may follow in the same word."""
    separator = "=" if spelling["rest"].startswith("=") else ""
    return f"{spelling['name']}{separator}"
