"""Runs a command, and turns errors into sentences and exit codes."""

import errno
import gc
import os
import re
import sys
from pathlib import Path

from search.cli.commands import app
from search.cli.output import print_line, print_next_command
from search.console.streams import prepare
from search.errors import UsageError, UserError, first_line
from search.files import home, in_the_way
from search.limits import shell_limit
from search.slots.signals import InterruptedSearch

UNUSABLE = {  # wherever it was met, the disk or the folder is what a person must mend
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
}
UNUSABLE_EXIT, MEMORY_EXIT = 5, 6  # as StorageError and SlotError, whose import takes a while


def run_command() -> None:
    """Run a command; an error that a person can mend is a sentence and an exit code, any other keeps its traceback."""
    gc.set_threshold(50_000)  # objects: a study of 1,000 trials has millions, and none of them is garbage
    prepare()
    try:
        app(_words(sys.argv[1:]), prog_name="cifar-search")
    except UserError as error:
        print_line(f"cifar-search: {error}", stderr=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        limit = shell_limit("-f") if error.errno == errno.EFBIG else None
        cause = limit or in_the_way(Path(os.fsdecode(error.filename or ".")))
        step = "mend that, or name another folder with --runs" if error.filename else None
        print_line("; ".join(filter(None, (f"cifar-search: {error}", cause, step))), stderr=True)
        sys.exit(UNUSABLE_EXIT)
    except (ImportError, MemoryError) as error:
        limit = None if isinstance(error, ModuleNotFoundError) else shell_limit("-v")
        if limit is None:
            raise
        print_line(f"cifar-search: {limit}, which is too little: {first_line(error)}; raise it", stderr=True)
        sys.exit(MEMORY_EXIT)
    except InterruptedSearch as error:
        print_next_command()
        sys.exit(128 + error.signal)


def _words(arguments: list[str]) -> list[str]:
    """`--ray` alone means `--ray auto`, which Typer does not know; and ~ a home, also in --runs=~/x.

    Raises UsageError for an empty word: it is a variable that is not set, and for a path would mean this folder.
    """
    words: list[str] = []
    arguments = [re.sub(r"^(--[a-z-]+=)?(~.*)", lambda at: f"{at[1] or ''}{home(at[2])}", word) for word in arguments]
    for before, word, following in zip(["cifar-search", *arguments], arguments, [*arguments[1:], "-"], strict=False):
        if not word or re.fullmatch("--[a-z-]+=", word):
            name = word.rstrip("=") or before
            raise UsageError(f"the value after {name} is empty, as of a variable that is not set; give one, or omit it")
        words += [word, "auto"] if word == "--ray" and following.startswith("-") else [word]
    return words
