"""A study has one owner at a time, who can be named; the lock lies with the database and ends with the owner."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
from postgres import Postgres
from tiny import ask, check, forked, run, starter

from studies.lock import LockedError, file_lock, is_locked, network_file_system
from studies.storage import StorageError, is_owned, opened, owned

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /data rw,relatime shared:9 - nfs4 server:/data rw
31 30 0:41 / /data/ann/local rw - xfs /dev/sda rw
32 22 0:42 / /mnt/my\040disk rw - fuse.sshfs ann@host: rw
33 22 0:43 / /srv rw - cifs //server/share rw
34 22 0:44 / /srv rw - ext4 /dev/sdb rw
""".lstrip()


def test_the_second_owner_hears_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "lock"
    sentence = f"process {os.getpid()} already works on the baselines .* if it is this one, close.. what the earlier"
    with file_lock(path, owned="the baselines"):
        assert is_locked(path)
        with pytest.raises(LockedError, match=sentence), file_lock(path, owned="the baselines"):
            pass
    assert not is_locked(path)
    with pytest.raises(KeyError), file_lock(path, owned="the baselines"):
        raise KeyError
    with file_lock(path, owned="the baselines"):
        pass


@pytest.mark.parametrize(
    ("place", "host"), [("studies.lock.socket.gethostname", "box"), ("studies.lock.Path.readlink", "HERE")]
)
def test_an_owner_in_another_container_is_named_by_its_host(
    place: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of its process, here that of this one, means another process here."""
    monkeypatch.setattr(place, lambda *_: "box")
    with file_lock(tmp_path / "lock", owned="it"):
        monkeypatch.undo()
        with pytest.raises(LockedError) as refused, file_lock(tmp_path / "lock", owned="it"):
            pass
    owner = f"process {os.getpid()} on {host.replace('HERE', socket.gethostname())}, in another container,"
    assert str(refused.value) == (
        f"{owner} already works on it (it holds {tmp_path / 'lock'}): "
        "wait until it ends, stop it there, or name another with --study"
    )


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("kept")
    with pytest.raises(OSError, match="symbolic link"), file_lock(tmp_path / "lock", owned=""):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_link_in_the_place_of_a_study_s_lock_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "studies.db.tiny.lock"
    lock.symlink_to(tmp_path / "precious")
    sentence = f"^the study's lock {lock} is a symbolic link; remove it"
    with pytest.raises(StorageError, match=sentence), owned(f"sqlite:///{tmp_path}/studies.db", study="tiny"):
        pass
    assert not (tmp_path / "precious").exists()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    return str(request.getfixturevalue("postgres").database())


def own_and_die(url: str) -> None:
    with starter(url)(trials=2) as study:
        study.report(ask(study).number, epoch=1, accuracy=0.5)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_study_has_one_owner_and_is_free_after_its_death(url: str) -> None:
    with starter(url)(trials=2) as study:
        assert is_owned(url, study="tiny")
        sentence = f"process {os.getpid()}.* already works on study 'tiny'"
        with pytest.raises(LockedError, match=sentence), owned(url, study="tiny"):
            pass
        with starter(url)("other", trials=1):  # another study of the same database is free
            pass
        ask(study)
    assert not is_owned(url, study="tiny")
    assert forked(partial(own_and_die, url)) == -signal.SIGKILL
    assert not is_owned(url, study="tiny")
    with starter(url)(trials=2) as study:
        assert study.recovered == (0,)
        run(study)
    check(url)


def test_the_lock_lies_beside_the_database_not_in_the_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with owned(f"sqlite:///{tmp_path}/real/studies.db", study="tiny"):
        with pytest.raises(LockedError), owned(f"sqlite:///{tmp_path}/link/studies.db", study="tiny"):
            pass
        assert (tmp_path / "real" / "studies.db.tiny.lock").read_text().split()[0] == str(os.getpid())


@pytest.mark.postgres
@pytest.mark.fault("PostgreSQL restarts, and another search is quicker", then="exit 4; the first writes nothing more")
def test_the_lock_is_taken_again_after_a_restart_or_everything_is_refused(postgres: Postgres) -> None:
    url = postgres.database()
    with starter(url)(trials=3) as study:
        number = ask(study).number
        postgres.stop()
        postgres.start()
        study.report(number, epoch=1, accuracy=0.5)
        with pytest.raises(LockedError), owned(url, study="tiny"):
            pass
        postgres.stop()
        postgres.start()
        with owned(url, study="tiny"):
            for call in (partial(study.report, number, epoch=2, accuracy=0.5), partial(study.put_back, number)):
                with pytest.raises(LockedError, match="already works on study 'tiny'"):
                    call()
        assert [epoch for epoch, _ in study.history().trials[number].epochs] == [1]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/runs", None), ("/data/ann/runs", "nfs4"), ("/data", "nfs4"), ("/data/ann/local/runs", None),
        ("/mnt/my disk/runs", "fuse.sshfs"), ("/datastead", None), ("/srv/runs", None),
    ],
)  # fmt: skip
def test_kind_of_a_network_file_system(
    folder: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr("studies.lock.MOUNTS", tmp_path / "mountinfo")
    assert network_file_system(Path(folder)) == kind


@pytest.mark.fault("SQLite on a network file system", then="refused by name of the file system, with advice")
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network_file_system(tmp_path) is None
    monkeypatch.setattr("studies.storage.network_file_system", lambda _: "nfs4")
    sentence = r"network file system.*\(nfs4\); put --runs on a local disk, or keep the study in"
    with pytest.raises(StorageError, match=sentence), opened(f"sqlite:///{tmp_path}/studies.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_deleted_with_its_study_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening of the file and its lock; another process would soon hold a new file of that name."""
    path, flock = tmp_path / "studies.db.tiny.lock", fcntl.flock

    def deleted_first(descriptor: int, operation: int) -> None:
        path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", deleted_first)
    with pytest.raises(LockedError), file_lock(path, owned="study 'tiny'"):
        pass
