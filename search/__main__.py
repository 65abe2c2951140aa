"""Makes `python -m search` the same as `cifar-search`."""

import sys

from search.cli import main

sys.argv[0] = "cifar-search"  # in the commands that are shown and recorded
main()
