"""What runs and what is seen: data, networks, training, the long jobs, the decision, the command line."""
