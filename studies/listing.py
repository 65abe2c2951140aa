"""Every study of a database, and the end of one."""

import shutil
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.artifacts import get_all_artifact_meta

from studies import StudyError
from studies.dashboard import artifact_store
from studies.history import History, history_of, load_study, study_names
from studies.ledger import record, recorded_in
from studies.lock import lock_path
from studies.storage import opened, owned, sqlite_file


def histories(storage: str) -> dict[str, History | int]:
    """All studies by name; of one that another program made, the number of its trials. Raises StorageError."""
    found: dict[str, History | int] = {}
    with opened(storage, read_only=True) as database:
        for name in sorted(study_names(database)):
            study = load_study(name, storage=database)
            try:
                found[name] = history_of(study)
            except StudyError:
                found[name] = len(study.get_trials(deepcopy=False))
    return found


def delete(name: str, *, storage: str, folder: Path, runs: Path) -> None:
    """Removes a study, its folder, and what was published of it. Raises StudyError, StorageError, OSError.

    That it opened the test set stays in the ledger.
    """
    with owned(storage, study=name) as database:
        for opening in recorded_in(name, load_study(name, storage=database).user_attrs):
            record(opening, storage=database)
        # The folder first: what it holds would be taken for that of a new study of this name.
        if folder.exists():
            shutil.rmtree(folder.resolve())
            folder.unlink(missing_ok=True)  # it was a link
        for artifact in get_all_artifact_meta(load_study(name, storage=database)):
            with suppress(Exception):  # it was removed in the dashboard
                artifact_store(runs).remove(artifact.artifact_id)
        optuna.delete_study(study_name=name, storage=database)
        if file := sqlite_file(storage):
            lock_path(file, name).unlink(missing_ok=True)
