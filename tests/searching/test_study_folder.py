"""Whatever belongs to a study lies in a folder that is named after it."""

from pathlib import Path

import pytest

from search.searching.study_folder import StudyFolder
from studies import StudyError


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "line\n", "x" * 65])
def test_a_name_that_is_no_folders_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="study's name is"):
        StudyFolder(tmp_path, name)
