"""What `scripts/lock` wrote: exact versions of all that serving installs, and the hashes for the Docker image."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import product
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PLACES = list(product(("3.11", "3.12", "3.13", "3.14"), ("x86_64", "aarch64")))
NAMES = ("constraints.txt", "locked.txt")


def read(name: str) -> dict[str, Requirement]:
    """The pins of a file, by name."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pins = [Requirement(re.sub(r"\s--hash=\S+", "", line).strip()) for line in text.splitlines()]
    found = {canonicalize_name(pin.name): pin for pin in pins}
    assert len(found) == len(pins)
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    return found


def environment(python: str, machine: str) -> dict[str, Any]:
    """A Linux machine, as markers see it."""
    return {**default_environment(), "python_version": python, "python_full_version": f"{python}.1",
            "platform_machine": machine, "sys_platform": "linux", "extra": ""}  # fmt: skip


def needed(pin: Requirement, there: dict[str, Any]) -> Iterator[Requirement]:
    """What a package of this machine, in the version of a pin, requires elsewhere."""
    try:
        if version(pin.name) != str(pin.specifier).removeprefix("=="):
            return
        said = distribution(pin.name).requires or []
    except PackageNotFoundError:
        return
    for requirement in map(Requirement, said):
        extras = ["", *pin.extras]
        if not requirement.marker or any(requirement.marker.evaluate({**there, "extra": extra}) for extra in extras):
            yield requirement


@pytest.mark.parametrize("name", NAMES)
def test_each_requirement_is_pinned_to_its_version_and_nothing_is_named_twice(name: str) -> None:
    pins = read(name)
    asked = [Requirement(line) for line in re.findall(r"^\S+==\S+$", (ROOT / "requirements.txt").read_text(), re.M)]
    assert {each.name: pins[canonicalize_name(each.name)].specifier for each in asked} == {
        each.name: each.specifier for each in asked
    }
    # Run scripts/lock when this fails.
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.parametrize(("python", "machine"), PLACES)
@pytest.mark.parametrize("name", NAMES)
def test_what_the_packages_require_is_pinned_too(name: str, python: str, machine: str) -> None:
    there, pins, looked_at = environment(python, machine), read(name), 0
    for pin in pins.values():
        if pin.marker and not pin.marker.evaluate(there):
            continue
        for requirement in needed(pin, there):
            other = pins[canonicalize_name(requirement.name)]
            assert not other.marker or other.marker.evaluate(there), (pin.name, requirement.name)
            assert requirement.specifier.contains(str(other.specifier).removeprefix("=="), prereleases=True), pin.name
            looked_at += 1
    assert looked_at > 60


def test_docker_installs_what_a_space_has_and_checks_its_hashes() -> None:
    space, docker = read("constraints.txt"), read("locked.txt")
    assert {name: pin.specifier for name, pin in docker.items()} == {name: space[name].specifier for name in docker}
    entries = re.split(r"\n(?=\S)", (ROOT / "locked.txt").read_text().partition("\n")[2].strip())
    assert len(entries) == len(docker)
    assert all(re.fullmatch(r"[^\\]+(\\\n +--hash=sha256:[0-9a-f]{64} ?)+", entry) for entry in entries)
    # Compiled packages: a wheel for each Python and machine, and its source.
    hashes = {name: sum("--hash" in line for line in entry.splitlines())
              for name, entry in zip(docker, entries, strict=True)}  # fmt: skip
    assert min(hashes[name] for name in ("numpy", "pillow", "markupsafe", "orjson")) > 2 * 3
