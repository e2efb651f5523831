"""What a derivative keeps: marked by hand, recovered from results, or fitted to a budget."""

from wengert.transform.memory.checkpoint import checkpoint
from wengert.transform.memory.invertible import invertible

__all__ = ["checkpoint", "invertible"]
