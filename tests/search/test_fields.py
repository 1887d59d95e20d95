"""Creative Commons codes as services, cards and lists write them."""

import itertools

import pytest
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from spotter.search.fields import creative_commons, credit

KINDS = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
COUNTRIES = ("", "at", "au", "de", "es", "fr", "igo", "it", "jp", "nl", "se", "uk", "us", "pl", "br")


def in_spdx(license_id: str) -> bool:
    try:
        return canonicalize_license_expression(license_id) == license_id
    except InvalidLicenseExpression:
        return False


def test_a_licence_for_a_country_is_that_of_spdx_or_unknown() -> None:
    for kind, version, country in itertools.product(KINDS, VERSIONS, COUNTRIES):
        plain = f"CC-{kind.upper()}-{version}"
        expected = f"{plain}-{country.upper()}" if country else plain
        expected = expected if in_spdx(expected) else "unknown"
        place = f"{country}/" if country else ""
        address = f"https://creativecommons.org/licenses/{kind}/{version}/{place}"
        assert creative_commons(f"CC {kind.upper()} {version} {country}") == expected
        assert creative_commons(f"cc-{kind}-{version}-{country}".rstrip("-")) == expected
        assert creative_commons(kind, version, address) == expected
        assert creative_commons(kind, version, f"{address}deed.en") == expected


@pytest.mark.parametrize(
    ("code", "license_id"),
    [
        ("CC BY-SA 3.0 Germany", "CC-BY-SA-3.0-DE"),
        ("CC BY-SA 3.0 Unported", "CC-BY-SA-3.0"),
        ("CC BY 4.0 International", "CC-BY-4.0"),
        ("CC BY-SA 4.0,3.0,2.5", "CC-BY-SA-4.0"),
        ("cc0-1.0", "CC0-1.0"),
    ],
)
def test_codes_as_people_write_them(code: str, license_id: str) -> None:
    assert creative_commons(code) == license_id


def test_a_credit_names_the_country() -> None:
    assert credit("A bear", "Ann", "CC-BY-SA-3.0-DE") == '"A bear" by Ann is licensed under CC BY-SA 3.0 DE.'
    assert credit(None, None, "PDM-1.0") == "This picture is marked with Public Domain Mark 1.0."
    assert credit(None, None, "CC0-1.0") == "This picture is marked with CC0 1.0."
