"""A place where one trial runs: the job, its runner, its process, the pool, checkpoints, the machine, signals."""
