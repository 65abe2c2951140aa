"""What this program can read, without torch: spaces of its families, limited by its measures."""

from search.candidate import FAMILIES, checks
from search.files import home
from spaces import Space
from spaces.loader import load_space

LATENCY = "latency_ms"  # of one image, measured on a slot before a training; the others are counted before that
MEASURES = ("parameters", "flops", "memory_mb", LATENCY)
"""What a constraint may limit, and what a study may make small beside its accuracy."""


def load(name: str) -> Space:
    """A space by the name of a shipped one or by its file. Raises SpaceError."""
    name = str(home(name)) if name.startswith("~") else name
    return load_space(name, families={family: checks(family) for family in FAMILIES}, measures=MEASURES)
