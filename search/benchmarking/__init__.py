"""How fast this machine is, and which search strategy is best."""
