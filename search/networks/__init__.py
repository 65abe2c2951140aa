"""From an architecture to a network: the blocks, one file per family, and counting."""
