"""What kind of file system a folder lies on."""

from __future__ import annotations

import re
from pathlib import Path

NETWORK = {"afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2"}
NETWORK |= {"smb3", "smbfs"} | {
    f"fuse.{kind}" for kind in ("ceph-fuse", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs")
}
"""Their locks are missing or late, so that SQLite loses transactions on them.

9p and virtiofs are not among them: to a container or a virtual machine they may be its own disk.
"""

MOUNTS = Path("/proc/self/mountinfo")  # Linux; elsewhere the kind stays unknown


def network_filesystem(folder: Path, *, mounts: str | None = None) -> str | None:
    """The kind of the network file system that an existing folder lies on; None for a local or an unknown one."""
    if mounts is None:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""
    folder = folder.resolve()
    found, depth = "", -1
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        place = Path(_unescaped(left.split()[4]))
        # Of two mounts on one place the later one is seen.
        if (place == folder or place in folder.parents) and len(place.parts) >= depth:
            found, depth = right.split()[0], len(place.parts)
    return found if found in NETWORK else None


def _unescaped(text: str) -> str:
    """Blanks and backslashes are written as octal numbers there."""
    return re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), text)
