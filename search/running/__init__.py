"""The long jobs: what a slot does, the slots, and the supervisor that owns a study."""
