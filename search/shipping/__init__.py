"""What a finished model does elsewhere: it locates what it knows in a larger photo."""
