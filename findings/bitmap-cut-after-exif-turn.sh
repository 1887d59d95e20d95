#!/usr/bin/env bash
# A bitmap that its EXIF orientation turned, and a part of it, by createImageBitmap. Chromium 156: the part has other
# pixels than asked for, and a VideoFrame of the whole shows it as it is stored, lying on its side, in the width and height
# of the turned one. Firefox 153: a VideoFrame of the part is the whole.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
firefox=$(command -v firefox-esr || command -v firefox) || { echo "This needs Firefox." >&2; exit 1; }
chromium=$(command -v chromium || command -v chromium-browser) || { echo "This needs Chromium." >&2; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install pillow==12.3.0 websockets==17.4 playwright==1.65.2
mkdir "$folder/profile" "$folder/page"
echo "<!doctype html>" > "$folder/page/index.html"
"$folder/venv/bin/python" - "$firefox" "$chromium" "$folder/profile" "$folder/page" <<'PYTHON'
import base64, io, json, re, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from PIL import Image
from playwright.sync_api import sync_playwright
from websockets.sync.client import connect

# Each pixel has a grey of its own: it tells where it comes from.
WIDE, HIGH = 8, 4
stored = Image.new("L", (WIDE, HIGH))
stored.putdata([8 * at for at in range(WIDE * HIGH)])
exif = Image.Exif()
exif[0x0112] = 6
png = io.BytesIO()
stored.save(png, "PNG", exif=exif)
upright = stored.transpose(Image.Transpose.ROTATE_270)
CODE = """(async () => {
    const bytes = Uint8Array.from(atob("PNG"), (letter) => letter.charCodeAt(0));
    const turned = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const part = await createImageBitmap(turned, 1, 2, 2, 3);
    const see = async (bitmap) => {
        const { width, height } = bitmap;
        const context = new OffscreenCanvas(width, height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        const canvas = Array.from(context.getImageData(0, 0, width, height).data);
        const data = new Uint8Array(width * height * 4);
        const frame = new VideoFrame(bitmap, { timestamp: 0 });
        const told = [frame.displayWidth, frame.displayHeight];
        let copied = null;
        try { await frame.copyTo(data, { format: "RGBA" }); copied = Array.from(data); } catch (error) { told.push(String(error)); }
        const grey = (values) => values && values.filter((_, at) => at % 4 === 0);
        return { size: [width, height], frame: told, canvas: grey(canvas), copied: grey(copied) };
    };
    return JSON.stringify({ agent: navigator.userAgent, turned: await see(turned), part: await see(part) });
})()""".replace("PNG", base64.b64encode(png.getvalue()).decode(), 1)


def in_firefox(url):
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
            ask(3, "browsingContext.navigate", context=tab, url=url, wait="complete")
            told = ask(4, "script.evaluate", expression=CODE, target={"context": tab}, awaitPromise=True)
            return json.loads(told["result"]["value"])
    finally:
        browser.terminate()
        browser.wait()


def in_chromium(url):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=sys.argv[2], args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(url)
        seen = json.loads(page.evaluate(CODE))
        browser.close()
        return seen


SimpleHTTPRequestHandler.log_message = lambda *_: None
server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=sys.argv[4]))
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
wanted = {"turned": list(upright.tobytes()), "part": list(upright.crop((1, 2, 3, 5)).tobytes())}
found = {}
for visit in (in_chromium, in_firefox):
    seen = visit(url)
    name = re.search(r"(Firefox|Chrome)/(\d+)", seen["agent"])
    print(name[1], name[2])
    for what, pixels in wanted.items():
        size, frame, canvas, copied = (seen[what][key] for key in ("size", "frame", "canvas", "copied"))
        found[name[1], what] = canvas == pixels, frame == size and copied == pixels
        print(f"  {what}: wanted {len(pixels)} pixels {pixels}\n    bitmap {size}, on a canvas {canvas}")
        print(f"    its VideoFrame {frame}, copied {copied}")
expected = {
    ("Chrome", "turned"): (True, False),
    ("Chrome", "part"): (False, False),
    ("Firefox", "turned"): (True, True),
    ("Firefox", "part"): (True, False),
}
sys.exit(0 if found == expected else f"It is otherwise here: {found}")
PYTHON
