"""A database on a network file system is refused, by what the system says of its mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.filesystem import network_filesystem
from studies.storage import StorageError, open_storage

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /data rw,relatime shared:9 - nfs4 server:/data rw
31 30 0:41 / /data/ann/local rw - xfs /dev/sda rw
32 22 0:42 / /mnt/my\040disk rw - fuse.sshfs ann@host: rw
33 22 0:43 / /srv rw - cifs //server/share rw
34 22 0:44 / /srv rw - ext4 /dev/sdb rw
""".lstrip()


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/runs", None), ("/data/ann/runs", "nfs4"), ("/data", "nfs4"), ("/data/ann/local/runs", None),
        ("/mnt/my disk/runs", "fuse.sshfs"), ("/datastead", None), ("/srv/runs", None),
    ],
)  # fmt: skip
def test_kind_of_a_network_file_system(folder: str, kind: str | None) -> None:
    assert network_filesystem(Path(folder), mounts=MOUNTS) == kind


@pytest.mark.fault("SQLite on a network file system", then="refused by name of the file system, with advice")
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network_filesystem(tmp_path) is None
    monkeypatch.setattr("studies.storage.network_filesystem", lambda _: "nfs4")
    with pytest.raises(StorageError, match=r"network file system.*\(nfs4\); put --runs on a local disk, or share"):
        open_storage(f"sqlite:///{tmp_path}/studies.db")
    assert list(tmp_path.iterdir()) == []
