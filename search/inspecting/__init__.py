"""What a person asks of a space, a study or a trial."""
