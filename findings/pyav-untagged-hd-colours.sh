#!/usr/bin/env bash
# PyAV 18.1.0 turns frames of HD films that do not tell their colour matrix into RGB by BT.601, the matrix of old television. Players take BT.709.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 pillow==12.3.0
cat > "$place/film.py" <<'PYTHON'
import io

import av
import numpy as np

RED, SIZE = (200, 40, 40), (1280, 720)


def film(told):
    """A film of one colour, written by BT.709 as HD is. With `told`, the file says so."""
    r, g, b = (value / 255 for value in RED)
    bright = 0.2126 * r + 0.7152 * g + 0.0722 * b
    planes = 16 + 219 * bright, 128 + 224 * (b - bright) / (2 * (1 - 0.0722)), 128 + 224 * (r - bright) / (2 * (1 - 0.2126))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        if told:
            coded = stream.codec_context
            coded.colorspace = coded.color_primaries = coded.color_trc = coded.color_range = 1
        frame = av.VideoFrame(*SIZE, "yuv420p")
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(bytes([round(value)]) * plane.buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    return file


def first(told, **options):
    with av.open(film(told)) as container:
        frame = next(container.decode(video=0))
        return np.asarray(frame.to_image(**options))[300, 300].astype(int)


print("PyAV", av.__version__, "libswscale", ".".join(map(str, av.library_versions["libswscale"])))
told, untold, asked = first(True), first(False), first(False, src_colorspace="ITU709")
print(f"written: {RED}")
print(f"read from a film that says BT.709: {tuple(told.tolist())}")
print(f"read from the same film without a word: {tuple(untold.tolist())}")
print(f"the same, with src_colorspace='ITU709': {tuple(asked.tolist())}")
assert np.abs(told - RED).max() <= 3 and np.abs(asked - RED).max() <= 3, (told, asked)
assert np.abs(untold - RED).max() >= 12, untold
PYTHON
cd "$place"
venv/bin/python film.py
