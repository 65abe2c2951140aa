"""What the shell that started this process allows it (`ulimit`), for the sentence about what such a limit cut off."""

import resource

_UNITS = {"-f": ("the size of a file", resource.RLIMIT_FSIZE), "-v": ("the memory of a process", resource.RLIMIT_AS)}


def shell_limit(option: str) -> str | None:
    """A limit of this shell in words, by the option of `ulimit` that sets it; None where nothing is limited."""
    what, kind = _UNITS[option]
    most, _ = resource.getrlimit(kind)  # bytes
    return None if most == resource.RLIM_INFINITY else f"this shell limits {what} (ulimit {option}: {most >> 10:,} kB)"
