#!/usr/bin/env bash
# Four files say only in XMP how they are to be turned, and a WebP says it in EXIF. `ImageOps.exif_transpose` of Pillow
# 12.3.0 turns all five; Chromium 156 and Firefox 153 show them as they are stored. With EXIF in a JPEG, a PNG and an AVIF
# all three agree.
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
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import sync_playwright
from websockets.sync.client import connect

WIDE, HIGH = 8, 4
ON_ITS_SIDE = 6
picture = Image.new("RGB", (WIDE, HIGH), "red")
exif = Image.Exif()
exif[0x0112] = ON_ITS_SIDE
xmp = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{ON_ITS_SIDE}"/></rdf:RDF></x:xmpmeta>"""
text = PngInfo()
text.add_itxt("XML:com.adobe.xmp", xmp)


def saved(kind, **metadata):
    file = io.BytesIO()
    picture.save(file, kind, **metadata)
    return file.getvalue()


files = {f"{kind}, EXIF": saved(kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "AVIF")}
files |= {f"{kind}, XMP": saved(kind, xmp=xmp.encode()) for kind in ("JPEG", "WEBP", "AVIF")}
files["PNG, XMP"] = saved("PNG", pnginfo=text)
CODE = """(async () => {
    const sizes = {};
    for (const [name, content] of Object.entries(FILES)) {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const { width, height } = await createImageBitmap(new Blob([bytes]));
        const image = new Image();
        image.src = URL.createObjectURL(new Blob([bytes]));
        await image.decode();
        sizes[name] = [[width, height], [image.naturalWidth, image.naturalHeight]];
    }
    return JSON.stringify({ agent: navigator.userAgent, sizes });
})()""".replace("FILES", json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}))


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


turned = {f"Pillow {PIL.__version__}": {}}
for name, content in files.items():
    with Image.open(io.BytesIO(content)) as opened:
        turned[f"Pillow {PIL.__version__}"][name] = ImageOps.exif_transpose(opened).size == (HIGH, WIDE)
for visit in (in_chromium, in_firefox):
    seen = visit()
    program = " ".join(re.search(r"(Firefox|Chrome)/(\d+)", seen["agent"]).groups())
    assert all(bitmap == image for bitmap, image in seen["sizes"].values()), seen
    turned[program] = {name: bitmap == [HIGH, WIDE] for name, (bitmap, _) in seen["sizes"].items()}
print(f"{'turned by':12}", *turned, sep="  ")
for name in files:
    print(f"{name:12}", *(f"{'yes' if answers[name] else 'no':{len(program)}}" for program, answers in turned.items()), sep="  ")
pillow, *browsers = turned.values()
obeyed = {"JPEG, EXIF", "PNG, EXIF", "AVIF, EXIF"}
as_told = all(pillow.values()) and all({name for name in files if each[name]} == obeyed for each in browsers)
sys.exit(0 if as_told else "It is otherwise here.")
PYTHON
