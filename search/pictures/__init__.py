"""Picture files of all kinds become arrays: listed, decoded, divided into parts, kept."""

from collections.abc import Callable

Progress = Callable[[str, int, int], object]
"""Is told what is done, how many pictures of it, and of how many; 0 of 0 when it is over."""
