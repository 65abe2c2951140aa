"""How a space is explored: Optuna lives here, and plain data comes out."""

from collections.abc import Iterable

from search.errors import UserError


class StudyError(UserError):
    """What a user asked of a study cannot be done: the rule, the actual value, the next step."""

    exit_code = 4


def unknown(kind: str, name: str, known: Iterable[str]) -> StudyError:
    """The error for a name that is not among the known ones, with the nearest of them."""
    from difflib import get_close_matches

    names = list(known)
    nearest = get_close_matches(name, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return StudyError(f"there is no {kind} {name!r}{hint or ';'} known: {', '.join(names) or 'none'}")
