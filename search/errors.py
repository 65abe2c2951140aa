"""The errors that a person can mend, each with the exit code of the command that raises it."""

from typing import ClassVar


class UserError(Exception):
    """One or more sentences for a person: the rule, the actual value, the place, and the next step."""

    exit_code: ClassVar[int] = 1


class UsageError(UserError):
    """A mistake on the command line, or in the arguments of a function that stands behind a command."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing, damaged or does not fit: one sentence with the place and the next step."""

    exit_code = 3


def one_line(error: BaseException, *, most: int | None = None) -> str:
    """The message of an error of other people's code in one line, its first characters alone where `most` is given."""
    return " ".join(str(error).split())[:most]


def first_line(error: BaseException) -> str:
    """The type of an error and the first line of its message."""
    return f"{type(error).__name__}: " + str(error).strip().partition("\n")[0]
