"""The supervisor of a study: set-up, dispatcher, progress."""
