"""The command line: its entry point, which imports the rest where a Ctrl-C meanwhile ends it in order."""

import sys


def main() -> None:
    """Run the command of this process, and exit."""
    try:
        from search import prefer_own_packages
        from search.cli.entry import run_command

        prefer_own_packages()
        run_command()
    except KeyboardInterrupt:
        sys.exit(130)
