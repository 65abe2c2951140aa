"""What optuna-dashboard shows of a study beside its trials, and the dashboard itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from studies.storage import open_storage, opened

ARTIFACTS = "artifacts"  # folder of pictures and reports, inside the folder of runs
LOOPBACK = "127.0.0.1"  # the dashboard has no authentication: whoever reaches it may delete studies


def publish(name: str, *, storage: str, runs: Path, note: str, files: Sequence[Path]) -> None:
    """Set the study's note and attach files to it; pictures are shown below the note's text."""
    from optuna_dashboard import save_note
    from optuna_dashboard.artifact import get_artifact_path

    store = _store(runs)
    with opened(storage) as database:
        study = optuna.load_study(study_name=name, storage=database)
        links = []
        for file in files:
            identity = upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=study)
            path = get_artifact_path(study, identity)
            links.append(f"![{file.stem}]({path})" if file.suffix == ".png" else f"[{file.name}]({path})")
        save_note(study, "\n\n".join([note, *links]))


def serve(*, storage: str, runs: Path, port: int) -> None:
    """Run optuna-dashboard on the loopback address until interrupted. Raises StorageError where nothing is stored."""
    from optuna_dashboard import run_server

    with opened(storage, read_only=True):
        pass  # says so if there is no database: the dashboard itself would make an empty one
    run_server(open_storage(storage), host=LOOPBACK, port=port, artifact_store=_store(runs))


def _store(runs: Path) -> FileSystemArtifactStore:
    folder = runs / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)
