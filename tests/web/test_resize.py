"""The square that the network sees: in JavaScript the same bytes as Pillow makes in Python."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spotter.images import frame, to_square
from tests.helpers.site import WEB

# Across and down: like a photo, enlarged, one pixel more or less, odd, and of ratios that no photo has.
SIDES = [
    *[(300, 200), (200, 300), (224, 224), (225, 223), (448, 448), (449, 447), (1013, 677), (97, 61), (2, 2), (3, 2)],
    *[(1, 1), (1, 500), (500, 1), (2, 3001), (3001, 2), (5, 4), (224, 7), (7, 224), (640, 641), (1200, 1201)],
]
SIZES = (1, 8, 63, 64, 224, 299)
SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { frame, toSquare } from "./resize.mjs";
const [folder] = process.argv.slice(2);
const boxes = [];
for (const [number, { width, height, size, resize }] of JSON.parse(readFileSync(`${folder}/cases.json`)).entries()) {
    const data = readFileSync(`${folder}/${width}x${height}`);
    const read = (left, top, wide, high) => {
        const part = new Uint8Array(wide * high * 3);
        for (let y = 0; y < high; y++) {
            const start = ((top + y) * width + left) * 3;
            part.set(data.subarray(start, start + wide * 3), y * wide * 3);
        }
        return part;
    };
    boxes.push(frame(width, height, size, resize));
    writeFileSync(`${folder}/${number}`, toSquare({ width, height, channels: 3, read }, size, resize));
}
writeFileSync(`${folder}/boxes.json`, JSON.stringify(boxes));
"""


@pytest.fixture(scope="module")
def resizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A script that resizes what is listed in a folder."""
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    if not (shutil.which("node") and esbuild.exists()):
        pytest.skip("node and the packages of web/ are not here: scripts/build_web")
    folder = tmp_path_factory.mktemp("resizer")
    command = [str(esbuild), "src/resize.ts", "--bundle", "--format=esm", f"--outfile={folder / 'resize.mjs'}"]
    subprocess.run(command, cwd=WEB, check=True, capture_output=True)
    (folder / "run.mjs").write_text(SCRIPT)
    return folder / "run.mjs"


def test_every_byte_is_the_same_as_pillows(resizer: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pictures = {}
    for width, height in SIDES:
        # Noise, and in half of it the extremes: sums that would leave a byte.
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        pixels[: height // 2] = np.where(pixels[: height // 2] < 128, 0, 255)
        pictures[width, height] = Image.fromarray(pixels)
        (tmp_path / f"{width}x{height}").write_bytes(pixels.tobytes())
    cases = [
        {"width": width, "height": height, "size": size, "resize": resize}
        for width, height in SIDES
        for size in SIZES
        for resize in ("crop", "squish", "pad")
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    subprocess.run(["node", str(resizer), str(tmp_path)], check=True, timeout=120)
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    different = 0
    for number, (case, box) in enumerate(zip(cases, boxes, strict=True)):
        shape, size, resize = (case["width"], case["height"]), case["size"], case["resize"]
        assert tuple(box) == frame(shape, size, resize)
        square = np.frombuffer((tmp_path / str(number)).read_bytes(), np.uint8).reshape(size, size, 3)
        different += int((square != to_square(pictures[shape], size, resize)).sum())
    assert (len(cases), different) == (360, 0)
