"""Experiment tracking that never asks, hangs or leaks: local unless a key and a network are there."""

import importlib.util
import os
import socket
from urllib.parse import urlsplit

from ..artifacts.paths import RunPaths
from ..config.schema import RunConfig, TrackingConfig
from ..process import torchrun
from ..process.reporter import reporter

_SECONDS_TO_REACH_SERVER = 3.0
_DEFAULT_SERVER = "https://api.wandb.ai"


def prepare_tracking(config: RunConfig, wandb_key: str | None) -> RunConfig:
    """Set the environment that the tracker reads, before anything imports it.

    A key given on the command line asks for wandb even where the YAML does not. Without a key, or without a
    network, wandb writes to res/<run_name>/wandb and `wandb sync` sends it later.

    Returns: the config, its tracking section as it will be used.
    Raises: ValueError if the tracker is not installed.
    """
    if wandb_key is not None:
        os.environ["WANDB_API_KEY"] = wandb_key
        config = config.model_copy(
            update={"tracking": config.tracking.model_copy(update={"report_to": "wandb"})}
        )
    tracker = config.tracking.report_to
    if tracker == "none":
        return config
    if problems := tracking_problems(config.tracking):
        raise ValueError("; ".join(problems))
    if tracker == "tensorboard":
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(RunPaths(config.run_name).root / "tensorboard"))
    if tracker == "wandb":
        folder = RunPaths(config.run_name).root
        os.environ.setdefault("WANDB_DIR", str(folder))
        os.environ.setdefault("WANDB_SILENT", "true")
        reason = _why_offline()
        if reason and "WANDB_MODE" not in os.environ:
            os.environ["WANDB_MODE"] = "offline"
            if torchrun.is_first():
                reporter.warn(f"wandb: {reason}: tracking to {folder}/wandb, send it later with `wandb sync`")
    return config


def tracking_problems(tracking: TrackingConfig) -> list[str]:
    """A tracker that is not installed. Needs no import of it."""
    tracker = tracking.report_to
    if tracker == "none" or importlib.util.find_spec(tracker) is not None:
        return []
    return [f"tracking.report_to: {tracker} is not installed: `pip install {tracker}`, or set it to none"]


def _why_offline() -> str | None:
    if not os.environ.get("WANDB_API_KEY"):
        return "no WANDB_API_KEY"
    server = urlsplit(os.environ.get("WANDB_BASE_URL", _DEFAULT_SERVER))
    address = (server.hostname or "", server.port or (443 if server.scheme == "https" else 80))
    try:
        socket.create_connection(address, _SECONDS_TO_REACH_SERVER).close()
    except OSError:
        return f"{address[0]} cannot be reached"
    return None
