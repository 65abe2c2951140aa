"""Searches a CIFAR-10 classifier and decides: build or buy. What a program may rely on is listed in `__all__`.

from search import Search, run

for update in run(Search(trials=10, space="smoke", data="synthetic")):
    print(update)
"""

import sys

TYPE_CHECKING = False  # an import of `typing` is one more moment in which Ctrl-C shows a traceback
if TYPE_CHECKING:
    from search.deciding.request import Claim, Decision
    from search.reporting.report import report_decision as decide
    from search.searching.request import Search
    from search.searching.supervisor import run
    from studies.history import read_history

__all__ = ["Claim", "Decision", "Search", "decide", "read_history", "run"]

_PLACES = {
    "Claim": "search.deciding.request:Claim",
    "Decision": "search.deciding.request:Decision",
    "Search": "search.searching.request:Search",
    "decide": "search.reporting.report:report_decision",
    "read_history": "studies.history:read_history",
    "run": "search.searching.supervisor:run",
}


def prefer_own_packages() -> None:
    """Let `spaces` and `studies` be those beside this package, where others of these names lie before them."""
    from importlib.util import find_spec

    home = __file__.removesuffix("search/__init__.py")
    if any(getattr(find_spec(name), "origin", "") != f"{home}{name}/__init__.py" for name in ("spaces", "studies")):
        sys.path.insert(0, home)


def __getattr__(name: str) -> object:
    """Import a name when it is used first: torch takes seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pkgutil import resolve_name

    prefer_own_packages()
    return resolve_name(_PLACES[name])
