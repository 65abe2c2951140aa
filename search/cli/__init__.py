"""The command line: a table of contents, one thin command for each thing a person can do."""

from __future__ import annotations

import errno
import sys

from search.cli import searching, spaces, upkeep  # noqa: F401 their commands join the program
from search.cli.app import app, print_line, print_next_command
from search.errors import UserError

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # wherever it was met, the disk is what a person must mend
UNWRITABLE_EXIT = 5  # as StorageError, whose import takes a while


def main() -> None:
    """Run a command; an error that a person can mend is a sentence and an exit code, any other keeps its traceback."""
    try:
        app(_words(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        _refuse(error, code=error.exit_code)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _refuse(error, code=UNWRITABLE_EXIT)
    except Exception as error:
        if type(error).__name__ != "InterruptedSearch":
            raise
        print_next_command()
        sys.exit(128 + error.signal)  # type: ignore[attr-defined]


def _refuse(error: Exception, *, code: int) -> None:
    print_line(f"cifar-search: {error}", stderr=True)
    sys.exit(code)


def _words(arguments: list[str]) -> list[str]:
    """`--ray` alone means `--ray auto`: Typer knows no option whose value may be left out."""
    words: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], "-"], strict=True):
        words += [word, "auto"] if word == "--ray" and following.startswith("-") else [word]
    return words
