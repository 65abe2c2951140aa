"""What optuna-dashboard shows of a study beside its trials, and the dashboard itself."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from studies import StudyError
from studies.history import load_study
from studies.storage import masked, opened, sqlite_file

ARTIFACTS = "artifacts"  # folder of pictures and reports, inside the folder of runs
LOOPBACK = "127.0.0.1"  # the dashboard has no authentication: whoever reaches it may delete studies


def publish(name: str, *, storage: str, runs: Path, note: str, files: Sequence[Path]) -> None:
    """Sets the study's note and attaches files to it; pictures are shown below the note's text.

    The caller owns the study. Raises StudyError, StorageError.
    """
    from optuna_dashboard import save_note
    from optuna_dashboard.artifact import get_artifact_path

    store, links = artifact_store(runs), []
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
    file = sqlite_file(storage)
    read_only = file is not None and not all(os.access(place, os.W_OK) for place in (file, file.parent))
    announce(f"http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
    if read_only:
        announce(f"{masked(storage)} is read-only here: whoever changes something in the browser sees an error")
    with opened(storage, read_only=read_only) as database:
        run_server(database, host=LOOPBACK, port=port, artifact_store=artifact_store(runs))


def artifact_store(runs: Path) -> FileSystemArtifactStore:
    """Where pictures and reports lie in a folder of runs."""
    folder = runs / ARTIFACTS
    with suppress(OSError):  # who only looks needs none; who adds something is told
        folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)
