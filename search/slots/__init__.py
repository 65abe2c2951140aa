"""A place where one trial runs: job, runner, process, its server, pool, checkpoints, the machine, signals."""
