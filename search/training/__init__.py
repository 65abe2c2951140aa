"""Training and evaluating one network."""
