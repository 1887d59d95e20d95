"""Where the passwords of the staff pages and of the cleaning page come from."""

from base64 import b64encode
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from spotter.errors import PasswordMissing, PasswordWeak
from spotter.serve.auth import CLEANING_PASSWORD, PasswordCheck, read_password, read_password_file

GOOD = "honey & Bärlauch"


def test_each_page_has_its_own_variable() -> None:
    environment = {"SPOTTER_PASSWORD": GOOD}
    assert read_password(environment, CLEANING_PASSWORD) == GOOD
    assert read_password(environment) is None
    with pytest.raises(PasswordWeak) as caught:
        read_password({"SPOTTER_PASSWORD": "short"}, CLEANING_PASSWORD)
    assert "in SPOTTER_PASSWORD is too easy" in str(caught.value)
    assert "staff" not in str(caught.value)
    with pytest.raises(PasswordWeak, match="or unset it to have no staff pages"):
        read_password({"STAFF_PASSWORD": "short"})


def test_a_file_holds_the_password_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{GOOD}\n", encoding="utf-8")
    assert read_password_file(file) == GOOD
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PasswordMissing, match="cannot be read"):
        read_password_file(file)
    file.write_text(" \n")
    with pytest.raises(PasswordMissing, match="is empty"):
        read_password_file(file)
    file.write_text("aaaaaaaaaaaa")
    with pytest.raises(PasswordWeak, match="at least 8 characters"):
        read_password_file(file)


@pytest.mark.parametrize("given", [GOOD[:-1], f"{GOOD}!", GOOD[:8], GOOD.upper(), f" {GOOD}", ""])
def test_nothing_but_the_whole_password_is_the_password(given: str) -> None:
    check = PasswordCheck(GOOD, "place", "Give it.")

    def status(password: str) -> int | None:
        header = b64encode(f"anna:{password}".encode()).decode()
        refusal = check.refuse(Headers({"authorization": f"Basic {header}"}), "client")
        return refusal.status_code if refusal else None

    assert (status(given), status(GOOD)) == (401, None)
