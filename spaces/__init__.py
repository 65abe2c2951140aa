"""Declarative search spaces: what may vary, read from YAML files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spaces.space import Problem, Space, SpaceError, difference

if TYPE_CHECKING:
    from spaces.loader import load_space, shipped_spaces

__all__ = ["Problem", "Space", "SpaceError", "difference", "load_space", "shipped_spaces"]


def __getattr__(name: str) -> Any:
    """The two functions of the loader, imported at first use: `--help` need not wait for pydantic."""
    if name in ("load_space", "shipped_spaces"):
        from spaces import loader

        return getattr(loader, name)
    raise AttributeError(f"module 'spaces' has no attribute {name!r}")
