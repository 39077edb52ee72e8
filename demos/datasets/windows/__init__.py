"""Windows of episodes for training, from files that may be larger than the memory."""

from demos.datasets.windows.windows import Window, Windows

__all__ = ["Window", "Windows"]
