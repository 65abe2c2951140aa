"""What optuna-dashboard shows of a study beside its trials, and the dashboard itself."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from studies import StudyError
from studies.history import load_study
from studies.storage import opened

ARTIFACTS = "artifacts"  # folder of pictures and reports, inside the folder of runs
LOOPBACK = "127.0.0.1"  # the dashboard has no authentication: whoever reaches it may delete studies


def publish(name: str, *, storage: str, runs: Path, note: str, files: Sequence[Path]) -> None:
    """Sets the study's note and attaches files to it; pictures are shown below the note's text.

    The caller owns the study. Raises StudyError, StorageError.
    """
    from optuna_dashboard import save_note
    from optuna_dashboard.artifact import get_artifact_path

    store, links = _store(runs), []
    with opened(storage) as database:
        study = load_study(name, storage=database)
        for file in files:
            artifact = upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=study)
            path = get_artifact_path(study, artifact)
            links.append(f"![{file.stem}]({path})" if file.suffix == ".png" else f"[{file.name}]({path})")
        save_note(study, "\n\n".join([note, *links]))


def serve(*, storage: str, runs: Path, port: int, announce: Callable[[str], object]) -> None:
    """Runs optuna-dashboard on the loopback address until interrupted. Raises StorageError, StudyError."""
    from optuna_dashboard import run_server

    # Where nothing is stored the dashboard would make an empty database.
    with opened(storage, read_only=True), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            port = probe.getsockname()[1]  # of 0 any that is free
        except (OSError, OverflowError) as error:
            raise StudyError(f"cannot serve on port {port} of {LOOPBACK}: {error}; name another with --port") from None
    announce(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
    with opened(storage) as database:
        run_server(database, host=LOOPBACK, port=port, artifact_store=_store(runs))


def _store(runs: Path) -> FileSystemArtifactStore:
    folder = runs / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)
