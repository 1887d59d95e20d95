import pytest

from spotter.utils.licenses import allows, is_open


@pytest.mark.parametrize(
    ("license_id", "open_", "commercial"),
    [
        ("CC0-1.0", True, True),
        ("PDM-1.0", True, True),
        ("CC-BY-2.0", True, True),
        ("CC-BY-SA-4.0", True, True),
        ("CC-BY-ND-4.0", False, True),
        ("CC-BY-NC-4.0", False, False),
        ("CC-BY-NC-SA-4.0", False, False),
        ("unknown", False, False),
        ("Public domain", False, False),
        ("", False, False),
    ],
)
def test_policies(license_id: str, open_: bool, commercial: bool) -> None:
    assert is_open(license_id) == allows("open", license_id) == open_
    assert allows("commercial", license_id) == commercial
    assert allows("any", license_id)
