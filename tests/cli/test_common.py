"""What several commands read in the same way."""

from pathlib import Path

import pytest

from spotter.cli.common import split_revision


def test_a_revision_stands_behind_an_at_sign_and_a_folder_may_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_revision("hf://owner/bears@v2") == ("hf://owner/bears", "v2")
    assert split_revision("models/bears@abc") == ("models/bears", "abc")
    Path("models@home").mkdir()
    assert split_revision("models@home") == ("models@home", None)
    for address in ("models/bears", "@v2", "models/bears@"):
        assert split_revision(address) == (address, None)
