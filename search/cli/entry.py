"""Runs a command, and turns errors into sentences and exit codes."""

import errno
import gc
import re
import sys

from search.cli.commands import app
from search.cli.output import print_line, print_next_command
from search.console.streams import prepare
from search.errors import UsageError, UserError
from search.slots.signals import InterruptedSearch

UNWRITABLE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
)  # wherever it was met, the disk is what a person must mend
UNWRITABLE_EXIT = 5  # as StorageError, whose import takes a while


def run_command() -> None:
    """Run a command; an error that a person can mend is a sentence and an exit code, any other keeps its traceback."""
    gc.set_threshold(50_000)  # objects: a study of 1,000 trials has millions, and none of them is garbage
    prepare()
    try:
        app(_words(sys.argv[1:]), prog_name="cifar-search")
    except (UserError, OSError) as error:
        if not isinstance(error, UserError) and error.errno not in UNWRITABLE:
            raise
        print_line(f"cifar-search: {error}", stderr=True)
        sys.exit(error.exit_code if isinstance(error, UserError) else UNWRITABLE_EXIT)
    except InterruptedSearch as error:
        print_next_command()
        sys.exit(128 + error.signal)


def _words(arguments: list[str]) -> list[str]:
    """`--ray` alone means `--ray auto`: Typer knows no option whose value may be left out.

    Raises UsageError for an empty word: it is a variable that is not set, and for a path would mean this folder.
    """
    words: list[str] = []
    for before, word, following in zip(["cifar-search", *arguments], arguments, [*arguments[1:], "-"], strict=False):
        if not word or re.fullmatch("--[a-z-]+=", word):
            name = word.rstrip("=") or before
            raise UsageError(f"the value after {name} is empty, as of a variable that is not set; give one, or omit it")
        words += [word, "auto"] if word == "--ray" and following.startswith("-") else [word]
    return words
