"""The loss of every example at every checkpoint."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .callback import TrajectoryCallback

__all__ = ["TrajectoryCallback"]


def __getattr__(name: str) -> Any:
    """`from s2l.scoring import TrajectoryCallback`: only then is torch loaded."""
    if name == "TrajectoryCallback":
        from .callback import TrajectoryCallback

        return TrajectoryCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
