"""Replay: a dynamic graph whose structure comes again runs as one native call."""

from wengert.replay.alone import results_of_call
from wengert.replay.mode import replaying
from wengert.replay.state import replay, statistics

__all__ = ["replay", "replaying", "results_of_call", "statistics"]
