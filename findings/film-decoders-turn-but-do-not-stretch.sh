#!/usr/bin/env bash
# A film with pixels twice as wide as high (sample aspect ratio 2:1, as recorders of security cameras write them), turned by
# its metadata. OpenCV 5.0.0.93 turns its frames and does not stretch them; PyAV 18.1.0 tells the turn with each frame, and the
# ratio only with the stream, and its pictures are neither turned nor stretched. The video element of Chromium 156 does both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chromium=$(command -v chromium || command -v chromium-browser) || { echo "This needs Chromium." >&2; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install \
  av==18.1.0 opencv-python-headless==5.0.0.93 pillow==12.3.0 playwright==1.65.2
"$folder/venv/bin/python" - "$chromium" "$folder" <<'PYTHON'
import base64, sys
from fractions import Fraction
from pathlib import Path
import av, cv2
import numpy as np
from playwright.sync_api import sync_playwright

WIDE, HIGH, RATIO = 96, 64, 2
path = Path(sys.argv[2], "film.mp4")
with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264", rate=5)
    stream.width, stream.height, stream.pix_fmt = WIDE, HIGH, "yuv420p"
    stream.codec_context.sample_aspect_ratio = Fraction(RATIO)
    for number in range(5):
        frame = av.VideoFrame.from_ndarray(np.full((HIGH, WIDE, 3), 90, np.uint8))
        frame.pts, frame.time_base = number, Fraction(1, 5)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
# The matrix of the track: none, and a quarter turn as phones write it.
none = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
quarter = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
content = path.read_bytes()
at = content.index(none, content.index(b"tkhd"))
turned = Path(sys.argv[2], "turned.mp4")
turned.write_bytes(content[:at] + quarter + content[at + len(none) :])

CODE = """async (content) => {
    const video = document.createElement("video");
    video.src = "data:video/mp4;base64," + content;
    await new Promise((resolve, reject) => { video.onloadeddata = resolve; video.onerror = () => reject(video.error); });
    return [video.videoWidth, video.videoHeight];
}"""
print("PyAV", av.__version__, "- OpenCV", cv2.__version__)
found = {}
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=sys.argv[1], args=["--no-sandbox", "--disable-gpu"])
    print("Chromium", browser.version)
    for film in (path, turned):
        with av.open(str(film)) as container:
            frame = next(container.decode(video=0))
            told = (frame.rotation, container.streams.video[0].sample_aspect_ratio, hasattr(frame, "sample_aspect_ratio"))
            by_pyav = frame.to_image().size
        _, image = cv2.VideoCapture(str(film)).read()
        shown = browser.new_page().evaluate(CODE, base64.b64encode(film.read_bytes()).decode())
        found[film.stem] = by_pyav, image.shape[1::-1], tuple(shown)
        print(f"{film.name}: PyAV {by_pyav} (rotation {told[0]}, ratio {told[1]}), OpenCV {image.shape[1::-1]}, shown {shown}")
        assert told[1] == RATIO and not told[2]
    browser.close()
expected = {
    "film": ((WIDE, HIGH), (WIDE, HIGH), (WIDE * RATIO, HIGH)),
    "turned": ((WIDE, HIGH), (HIGH, WIDE), (HIGH, WIDE * RATIO)),
}
sys.exit(0 if found == expected else "It is otherwise here.")
PYTHON
