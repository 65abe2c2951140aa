"""The database opens, or says why it does not; processes that share it do not step on each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.storage import StorageError, masked, open_storage, opened

ROOT = Path(__file__).parents[1]


def test_folder_and_file_are_made_and_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/b/studies.db"
    with opened(url) as storage:
        optuna.create_study(study_name="kept", storage=storage)
    with opened(url) as storage:
        assert [study.study_name for study in storage.get_all_studies()] == ["kept"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("runs/studies.db", "write --storage sqlite:///runs/studies.db"),
        ("studies", "a storage is a URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("nosuch://someone:s3cret@host/name", "not known"),
        ("postgresql://someone:s3cret@host:port/name", "no storage URL"),
        ("mysql+mysqldb://someone:{s3cret}@host/name", "pip install mysqlclient"),
    ],
)
def test_unusable_url_is_one_sentence_without_its_password(url: str, said: str) -> None:
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_text("notes on the studies, kept as text\n" * 100)
    with pytest.raises(StorageError, match="file is not a database"):
        open_storage(f"sqlite:///{tmp_path}/studies.db")


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StorageError, match=r"cannot open the storage .*runs"):
        open_storage(f"sqlite:///{tmp_path}/runs/studies.db")


def test_reading_makes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    with pytest.raises(StorageError, match="there is no database at"):
        open_storage(url, read_only=True)
    (tmp_path / "studies.db").touch()
    with pytest.raises(StorageError, match="no such table"):
        open_storage(url, read_only=True)
    assert (tmp_path / "studies.db").stat().st_size == 0


@given(password=st.text(min_size=1).filter(lambda text: "://" not in text))
def test_password_is_never_shown(password: str) -> None:
    assert masked(f"postgresql://someone:{password}@host/name") == "postgresql://someone:***@host/name"


def test_masking_leaves_the_rest() -> None:
    assert masked("sqlite:///runs/a:b@c.db") == "sqlite:///runs/a:b@c.db"
    assert masked("postgresql://host/name?password=b&port=1") == "postgresql://host/name?password=***&port=1"


_TAKE = """
import sys, time
from pathlib import Path
import optuna
from studies.storage import open_storage

folder, me = Path(sys.argv[1]), sys.argv[2]
storage = open_storage(f"sqlite:///{folder}/studies.db")
study = optuna.create_study(study_name="queue", storage=storage, load_if_exists=True)
for index in range(10):
    study.enqueue_trial({"x": index})
(folder / f"ready-{me}").touch()
deadline = time.monotonic() + 30
while len(list(folder.glob("ready-*"))) < 4 and time.monotonic() < deadline:
    time.sleep(0.01)
numbers = []
while (trial := study.ask()).number < 40:
    numbers.append(trial.number)
print(*numbers)
"""


def test_four_first_starts_at_once_then_every_waiting_trial_is_taken_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _TAKE, str(tmp_path), str(index)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for index in range(4)
    ]
    taken = [int(number) for child in children for number in child.communicate(timeout=60)[0].split()]
    assert [child.returncode for child in children] == [0, 0, 0, 0]
    assert sorted(taken) == list(range(40))
