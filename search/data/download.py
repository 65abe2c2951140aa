"""Completes a folder of CIFAR-10 from its archive, which it downloads where it must; nothing is left half done."""

import http.client
import shutil
import socket
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from search.errors import DataError
from search.files import fresh_folder

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
PATIENCE = 15.0  # seconds without a byte until a server is given up; torchvision may try it three times
ELSEWHERE = "name a folder that holds CIFAR-10 by --data DIR or CIFAR_SEARCH_DATA"


def complete(root: Path, place: Path, missing: Sequence[str], *, problem: str, download: bool) -> None:
    """Unpack the missing files beside their place and move each there, so that none is half there. Raises DataError."""
    # Imported only here: it takes 4 s of CPU time, which every slot would pay.
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, download_url

    archive = root / ARCHIVE
    by_hand = f"fetch {CIFAR10.url} by hand into {root}, or {ELSEWHERE}"
    try:
        sound = check_integrity(archive, CIFAR10.tgz_md5)
        if not sound and archive.is_file():
            problem += f" and {archive} is truncated or altered ({archive.stat().st_size:,} bytes)"
        if not (sound or download):
            raise DataError(f"{problem}; {by_hand}")
        with downloading(root) as fresh:
            if not sound:
                download_url(CIFAR10.url, fresh, ARCHIVE, CIFAR10.tgz_md5)
            place.mkdir(exist_ok=True)
            with tarfile.open(archive if sound else fresh / ARCHIVE) as tar:
                for batch in missing:  # the bytes of known names only: no path of the archive is ever followed
                    if (member := tar.extractfile(f"{FOLDER}/{batch}")) is None:
                        raise tarfile.ReadError(f"the archive's {batch} is no file")
                    with member, (fresh / batch).open("wb") as file:
                        shutil.copyfileobj(member, file)
                    (fresh / batch).replace(place / batch)
    except (OSError, RuntimeError, KeyError, http.client.HTTPException, tarfile.TarError) as error:
        raise DataError(f"{problem}, and fetching or unpacking it failed ({error}); {by_hand}") from error


@contextmanager
def downloading(root: Path) -> Iterator[Path]:
    """A folder for what is downloaded, of which nothing is left; a silent server is given up."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torchvision has none
    try:
        with fresh_folder(root) as fresh:
            yield fresh
    finally:
        socket.setdefaulttimeout(timeout)
