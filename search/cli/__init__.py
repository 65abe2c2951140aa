"""The command line: a table of contents, one thin command for each thing a person can do."""

from __future__ import annotations

import errno
import sys

from search.cli import searching, spaces, upkeep  # noqa: F401 their commands join the program
from search.cli.app import EXIT_CODES, app, console, go_on

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # wherever it was met, the disk is what a person must mend


def main() -> None:
    """Run a command; an error that a person can mend is a sentence and an exit code, any other keeps its traceback."""
    try:
        app(_words(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ == "InterruptedSearch":
            go_on()
            sys.exit(128 + error.signal)  # type: ignore[attr-defined]
        known = (EXIT_CODES.get(kind.__name__) for kind in type(error).__mro__)
        code = next((code for code in known if code is not None), None)
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            code = EXIT_CODES["StorageError"]
        if code is None:
            raise
        console(stderr=True).print(f"cifar-search: {error}", highlight=False, soft_wrap=True, markup=False)
        sys.exit(code)


def _words(arguments: list[str]) -> list[str]:
    """`--ray` alone means `--ray auto`, and so for `--pictures`: Typer knows no option whose value may be left out."""
    words: list[str] = []
    for word, then in zip(arguments, [*arguments[1:], "-"], strict=True):
        words += [word, "auto"] if word in ("--ray", "--pictures") and then.startswith("-") else [word]
    return words
