#!/usr/bin/env bash
# An AVIF of full range, as encoders write it. Chromium 156 takes the transparency of a still one, and the colours of a
# moving one, for limited range (16 to 235): contrasts grow by 16 %, what is nearly clear vanishes, and the darkest and
# the brightest greys become black and white. Pillow 12.3.0 (libavif) and Firefox 153 show what was encoded; a moving
# one of limited range, and a still one of full range without transparency, are right in all three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
firefox=$(command -v firefox-esr || command -v firefox) || { echo "This needs Firefox." >&2; exit 1; }
chromium=$(command -v chromium || command -v chromium-browser) || { echo "This needs Chromium." >&2; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install pillow==12.3.0 websockets==17.4 playwright==1.65.2
mkdir "$folder/profile"
"$folder/venv/bin/python" - "$firefox" "$chromium" "$folder/profile" <<'PYTHON'
import base64, io, json, re, subprocess, sys
import PIL
from PIL import Image
from playwright.sync_api import sync_playwright
from websockets.sync.client import connect

# Sixteen stripes, from 0 to 255.
LEVELS = range(0, 256, 17)
STRIPE, HIGH = 8, 64
ramp = Image.new("L", (STRIPE * len(LEVELS), HIGH))
for number, level in enumerate(LEVELS):
    ramp.paste(level, (STRIPE * number, 0, STRIPE * (number + 1), HIGH))
grey = Image.merge("RGB", [ramp] * 3)
black = Image.new("RGB", ramp.size)
black.putalpha(ramp)


def saved(picture, **options):
    file = io.BytesIO()
    picture.save(file, "AVIF", quality=100, subsampling="4:4:4", **options)
    return file.getvalue()


moving = {"save_all": True, "append_images": [grey.transpose(Image.Transpose.FLIP_TOP_BOTTOM), black.convert("RGB")]}
files = {
    "still, full range": saved(grey, range="full"),
    "moving, full range": saved(grey, range="full", **moving),
    "moving, limited range": saved(grey, range="limited", **moving),
    "still, transparent black": saved(black, range="full"),
}
CODE = """(async () => {
    const shown = {};
    for (const [name, content] of Object.entries(FILES)) {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const image = new Image();
        image.src = URL.createObjectURL(new Blob([bytes], { type: "image/avif" }));
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext("2d");
        context.fillStyle = "white";
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(image, 0, 0);
        const row = context.getImageData(0, HIGH / 2, canvas.width, 1).data;
        shown[name] = Array.from({ length: canvas.width / STRIPE }, (_, at) => row[(at + 0.5) * STRIPE * 4]);
    }
    return JSON.stringify({ agent: navigator.userAgent, shown });
})()"""
CODE = CODE.replace("FILES", json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}))
CODE = CODE.replace("HIGH", str(HIGH)).replace("STRIPE", str(STRIPE))


def in_firefox():
    command = [sys.argv[1], "--headless", "--no-remote", "--profile", sys.argv[3], "--remote-debugging-port=0"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[1] for line in browser.stderr if (found := re.search(r"BiDi listening on (ws://\S+)", line)))
        with connect(f"{address}/session", proxy=None, max_size=None) as socket:
            def ask(number, method, **parameters):
                socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (told := json.loads(socket.recv(60))).get("id") != number:
                    pass
                assert "result" in told, told
                return told["result"]

            ask(1, "session.new", capabilities={})
            tab = ask(2, "browsingContext.getTree")["contexts"][0]["context"]
            told = ask(3, "script.evaluate", expression=CODE, target={"context": tab}, awaitPromise=True)
            return json.loads(told["result"]["value"])
    finally:
        browser.terminate()
        browser.wait()


def in_chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=sys.argv[2], args=["--no-sandbox", "--disable-gpu"])
        seen = json.loads(browser.new_page().evaluate(CODE))
        browser.close()
        return seen


def by_pillow(content):
    with Image.open(io.BytesIO(content)) as opened:
        first = opened.convert("RGBA")
    white = Image.new("RGBA", first.size, "white")
    white.alpha_composite(first)
    return [white.getpixel((int((at + 0.5) * STRIPE), HIGH // 2))[0] for at in range(len(LEVELS))]


found = {f"Pillow {PIL.__version__}": {name: by_pillow(content) for name, content in files.items()}}
for visit in (in_chromium, in_firefox):
    seen = visit()
    found[" ".join(re.search(r"(Firefox|Chrome)/(\d+)", seen["agent"]).groups())] = seen["shown"]
stretched = [min(255, max(0, round((level - 16) * 255 / 219))) for level in LEVELS]
wrong = set()
for name in files:
    clear = "transparent" in name
    print(name)
    for program, shown in found.items():
        levels = [255 - value if clear else value for value in shown[name]]
        differs = [max(abs(one - other) for one, other in zip(levels, all_, strict=True)) for all_ in (LEVELS, stretched)]
        print(f"  {program:14} {shown[name]}: {differs[0]} from what was encoded, {differs[1]} from that stretched")
        if differs[0] > 3:
            assert differs[1] <= 3, "neither"
            wrong.add((program.split()[0], name))
expected = {("Chrome", "moving, full range"), ("Chrome", "still, transparent black")}
sys.exit(0 if wrong == expected else f"It is otherwise here: {wrong}")
PYTHON
