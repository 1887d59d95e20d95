#!/usr/bin/env bash
# PyAV 18.1.0 makes the same picture of a film of high dynamic range (HLG, PQ) as of one of standard range with the same numbers: flat and grey.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6 pillow==12.3.0
cat > "$place/film.py" <<'PYTHON'
import io

import av
import numpy as np

COLOUR, SIDE = (200, 40, 40), 160
STANDARD, PQ, HLG = 1, 16, 18
WEIGHTS = np.array([0.2627, 0.6780, 0.0593])


def light():
    """Of the colour: linear, with the colours of BT.2020, 1 for white paper."""
    share = np.array(COLOUR) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]) @ linear


def in_pq(paper):
    root = (203 * paper / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)


def in_hlg(paper):
    shown = 203 * paper / 1000
    scene = shown * (shown @ WEIGHTS) ** (1 / 1.2 - 1)
    curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)


def read(signal, transfer):
    """The colour that PyAV reads from a film of ten bits that holds these numbers, and what the frame says of itself."""
    bright = signal @ WEIGHTS
    planes = (
        64 + 876 * bright,
        512 + 896 * (signal[2] - bright) / (2 * (1 - WEIGHTS[2])),
        512 + 896 * (signal[0] - bright) / (2 * (1 - WEIGHTS[0])),
    )
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p10le"
        coded = stream.codec_context
        coded.colorspace, coded.color_primaries, coded.color_trc, coded.color_range = 9, 9, transfer, 1
        frame = av.VideoFrame(SIDE, SIDE, "yuv420p10le")
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(np.full(plane.buffer_size // 2, round(float(value)), dtype="<u2").tobytes())
        frame.colorspace, frame.color_primaries, frame.color_trc = 9, 9, transfer
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        frame = next(container.decode(video=0))
        return frame.to_image().getpixel((80, 80)), int(frame.color_trc)


print("PyAV", av.__version__, "libswscale", ".".join(map(str, av.library_versions["libswscale"])))
print(f"the colour that was filmed: {COLOUR}")
for name, transfer, write in (("PQ", PQ, in_pq), ("HLG", HLG, in_hlg)):
    signal = write(light())
    (found, told), (standard, _) = read(signal, transfer), read(signal, STANDARD)
    print(f"{name}: the frame says transfer {told}, and its picture has {found}; without that word, {standard}")
    assert told == transfer
    assert np.abs(np.subtract(found, standard)).max() <= 1, (found, standard)
    assert COLOUR[0] - found[0] >= 30, found
PYTHON
cd "$place"
venv/bin/python film.py
