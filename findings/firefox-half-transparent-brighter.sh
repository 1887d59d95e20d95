#!/usr/bin/env bash
# Firefox 153: a canvas on white shows half transparent pixels brighter than they are: about half of all values are 1 of
# 255 too high, and none too low. A VideoFrame of the same bitmap has the stored bytes; ImageDecoder has none of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
firefox=$(command -v firefox-esr || command -v firefox) || { echo "This needs Firefox." >&2; exit 1; }
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install pillow==12.3.0 websockets==17.4
mkdir "$folder/profile" "$folder/page"
echo "<!doctype html>" > "$folder/page/index.html"
"$folder/venv/bin/python" - "$firefox" "$folder/profile" "$folder/page" <<'PYTHON'
import base64, io, json, random, re, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from PIL import Image
from websockets.sync.client import connect

SIDE = 64
pixels = [(*random.Random(at).randbytes(3), at % 256) for at in range(SIDE * SIDE)]
picture = Image.new("RGBA", (SIDE, SIDE))
picture.putdata(pixels)
png = io.BytesIO()
picture.save(png, "PNG")
CODE = """(async () => {
    const bytes = Uint8Array.from(atob("PNG"), (letter) => letter.charCodeAt(0));
    const blob = new Blob([bytes], { type: "image/png" });
    const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, SIDE, SIDE);
    context.drawImage(bitmap, 0, 0);
    const copy = async (frame) => {
        const data = new Uint8Array(SIDE * SIDE * 4);
        await frame.copyTo(data, { format: "RGBA" });
        return Array.from(data);
    };
    const canvas = Array.from(context.getImageData(0, 0, SIDE, SIDE).data);
    const frame = await copy(new VideoFrame(bitmap, { timestamp: 0 }));
    const { image } = await new ImageDecoder({ data: bytes, type: "image/png" }).decode();
    return JSON.stringify({ agent: navigator.userAgent, canvas, frame, decoder: await copy(image) });
})()""".replace("PNG", base64.b64encode(png.getvalue()).decode(), 1).replace("SIDE", str(SIDE))

command = [sys.argv[1], "--headless", "--no-remote", "--profile", sys.argv[2], "--remote-debugging-port=0"]
browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
SimpleHTTPRequestHandler.log_message = lambda *_: None
server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=sys.argv[3]))
threading.Thread(target=server.serve_forever, daemon=True).start()
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
        # ImageDecoder is for secure pages alone; those of this machine are.
        url = f"http://127.0.0.1:{server.server_port}/"
        ask(3, "browsingContext.navigate", context=tab, url=url, wait="complete")
        told = ask(4, "script.evaluate", expression=CODE, target={"context": tab}, awaitPromise=True)
finally:
    browser.terminate()
    browser.wait()
seen = json.loads(told["result"]["value"])
print(re.search(r"Firefox/\S+", seen["agent"])[0])
# One of 255 and not half of one: whatever way of rounding, a value is not that far from what it should be.
exact = [(color * alpha + 255 * (255 - alpha)) / 255 for *colors, alpha in pixels for color in colors]
shown = [value for at, value in enumerate(seen["canvas"]) if at % 4 < 3]
wrong = [value - wanted for value, wanted in zip(shown, exact, strict=True)]
print(f"canvas: {min(wrong):+.2f} to {max(wrong):+.2f} beside the exact value, {sum(wrong) / len(wrong):+.2f} on average")
stored = [value for pixel in pixels for value in pixel]
visible = [at for at in range(len(stored)) if stored[at | 3]]
same = {name: all(seen[name][at] == stored[at] for at in visible) for name in ("frame", "decoder")}
print("VideoFrame of the bitmap: the stored bytes:", same["frame"])
multiplied = max(abs(seen["decoder"][at] - stored[at] * stored[at | 3] / 255) for at in visible if at % 4 < 3)
print("ImageDecoder: the stored bytes:", same["decoder"], f"- at most {multiplied:.2f} from colours multiplied by alpha")
sys.exit(0 if sum(wrong) / len(wrong) > 0.3 and same["frame"] and not same["decoder"] else "It is otherwise here.")
PYTHON
