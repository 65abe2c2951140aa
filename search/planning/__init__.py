"""What the time is for: the length of a trial, the forecast, the number of slots, the division of a decision."""
