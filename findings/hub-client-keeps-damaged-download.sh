#!/usr/bin/env bash
# huggingface_hub 2.4.0 compares the size of a download, but not its hash, and gives a damaged file out of its cache for ever.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check huggingface_hub==2.4.0
cat > try.py <<'PYTHON'
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

WHOLE = b"a model " * 1000
DAMAGED = b"A" + WHOLE[1:]
SHA256 = hashlib.sha256(WHOLE).hexdigest()
bodies = [DAMAGED]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = bodies[0]
        self.send_response(200)
        headers = {"ETag": f'"{SHA256}"', "X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": len(WHOLE)}
        for name, value in {**headers, "X-Repo-Commit": "1" * 40, "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1", "HF_HOME": "home"}

import huggingface_hub

first = Path(huggingface_hub.hf_hub_download("anna/model", "model.onnx"))
print(f"huggingface_hub {huggingface_hub.__version__}")
print(f"kept as {first.resolve().name[:12]}..., its SHA-256 is {hashlib.sha256(first.read_bytes()).hexdigest()[:12]}...")
# The server is right again; the cache is not.
bodies[0] = WHOLE
again = huggingface_hub.hf_hub_download("anna/model", "model.onnx")
is_whole = Path(again).read_bytes() == WHOLE
forced = huggingface_hub.hf_hub_download("anna/model", "model.onnx", force_download=True)
print(f"asked again: whole is {is_whole}; with force_download: {Path(forced).read_bytes() == WHOLE}")
assert first.resolve().name == SHA256
assert not is_whole
assert Path(forced).read_bytes() == WHOLE
PYTHON
venv/bin/python try.py
