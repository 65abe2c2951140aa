"""Declarative search spaces: what may vary, read from YAML files."""

from spaces.space import Problem, Space, SpaceError, difference

__all__ = ["Problem", "Space", "SpaceError", "difference"]
