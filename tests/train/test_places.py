"""Maps of places are the same after they were packed, and looks after they were kept."""

from pathlib import Path

import numpy as np
import pytest

from spotter.train.features import Places
from spotter.train.windows import FirstLook, LookCache


def make_map(seed: int, share: float = 0.08) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1280, 7, 7)).astype(np.float32)
    return np.where(rng.random(values.shape) < share, values, 0).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.08, 1.0])
def test_a_map_is_the_same_after_it_was_packed(share: float) -> None:
    places = make_map(1, share)
    assert Places.of(places).unpack().tobytes() == places.tobytes()
    assert Places.of(places).is_small == (share < 0.5)


def test_looks_are_the_same_after_they_were_kept(tmp_path: Path) -> None:
    cache = LookCache(tmp_path / "set" / "looks.safetensors")
    assert cache.read() == ({}, {})
    looks = {f"p{n}": FirstLook((n + 1, 100), Places.of(make_map(n, n / 20))) for n in range(4)}
    windows = {"p1 (0, 0, 5, 5)": np.arange(6, dtype=np.float32), "p2 (1, 1, 5, 5)": np.ones(6, dtype=np.float32)}
    cache.write(looks, windows)
    found, seen = cache.read()
    assert found.keys() == looks.keys()
    for key, look in looks.items():
        assert found[key].size == look.size
        assert found[key].places.unpack().tobytes() == look.places.unpack().tobytes()
    assert {key: value.tobytes() for key, value in seen.items()} == {k: v.tobytes() for k, v in windows.items()}
    # Only what was asked for last is kept, and nothing where maps are large.
    cache.write({"p1": looks["p1"]}, {})
    assert [each.keys() for each in cache.read()] == [{"p1"}, set()]
    cache.write({"p2": FirstLook((1, 1), Places.of(make_map(2, 0.5)))}, {})
    assert cache.read()[0].keys() == {"p1"}


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b.replace(b'"U8"', b'"I8"')])
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage) -> None:
    cache = LookCache(tmp_path / "looks.safetensors")
    cache.write({"p": FirstLook((1, 1), Places.of(make_map(1)))}, {})
    content = cache.path.read_bytes()
    cache.path.write_bytes(damage(content))
    assert cache.path.read_bytes() != content
    assert cache.read() == ({}, {})
    # Bits that do not belong to the numbers.
    cache.write({"p": FirstLook((1, 1), Places(make_map(1).shape, Places.of(make_map(1)).there, np.ones(3, "f4")))}, {})
    assert cache.read() == ({}, {})
