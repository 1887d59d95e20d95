#!/usr/bin/env bash
# Gradio 6.31.0 writes a .pyi file next to any module that has a subclass of a component, as soon as it is imported.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import importlib
import sys
from importlib.metadata import version
from pathlib import Path

Path("pages").mkdir()
Path("pages/upload.py").write_text("import gradio as gr\n\n\nclass Upload(gr.Image):\n    pass\n")
sys.path.insert(0, "pages")
importlib.import_module("upload")
found = sorted(path.name for path in Path("pages").iterdir() if path.is_file())
print("gradio", version("gradio"))
print("The folder held upload.py. After `import upload` it holds", ", ".join(found))
assert found == ["upload.py", "upload.pyi"], found
print(Path("pages/upload.pyi").read_text()[:300])
PYTHON
