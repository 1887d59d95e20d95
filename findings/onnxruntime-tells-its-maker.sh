#!/usr/bin/env bash
# Importing onnxruntime 1.32.0 on Linux, without opening any model, makes a number for this machine and keeps it in the
# home folder, writes a queue of events for its maker beside it, and leaves a file `.ses` in the temporary folder. The
# event of the start holds the system, the processor and the path of the Python program, which may hold a person's name.
# `disable_telemetry_events()` comes too late for that: it can be called only after the import. ORT_DISABLE_TELEMETRY=1
# before the import keeps all of it away. So does CI=true, and other variables that CI services set: a test there that
# finds nothing says nothing about a user's machine. Nothing is sent here: the only proxy leads nowhere.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install onnxruntime==1.32.0 numpy==2.3.5
cat > "$folder/look.py" <<'PYTHON'
import os, sqlite3, subprocess, sys
from importlib.metadata import version
from pathlib import Path

base = Path(sys.argv[1])
ways = {
    "import onnxruntime": ("import onnxruntime", {}),
    "... and disable_telemetry_events()": ("import onnxruntime; onnxruntime.disable_telemetry_events()", {}),
    "ORT_DISABLE_TELEMETRY=1 before": ("import onnxruntime", {"ORT_DISABLE_TELEMETRY": "1"}),
    "CI=true": ("import onnxruntime", {"CI": "true"}),
}
print("onnxruntime", version("onnxruntime"))
found = []
for number, (name, (code, setting)) in enumerate(ways.items()):
    home, temporary = base / f"home{number}", base / f"temporary{number}"
    home.mkdir()
    temporary.mkdir()
    environment = {"HOME": str(home), "TMPDIR": str(temporary), "HTTPS_PROXY": "http://127.0.0.1:9"} | setting
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL)
    files = sorted(str(path.relative_to(base)) for part in (home, temporary) for path in part.rglob("*") if path.is_file())
    found.append({Path(file).name for file in files} - {"onnxruntime.db-wal", "onnxruntime.db-shm"})
    print(f"{name}: {len(files)} files", *files, sep="\n  ")
    for queue in home.rglob("onnxruntime.db"):
        with sqlite3.connect(queue) as database:
            for (event,) in database.execute("SELECT payload FROM events"):
                tells = {"the path of Python": sys.executable, "the processor's architecture": os.uname().machine}
                print("  the event of the start tells", *(what for what, text in tells.items() if text.encode() in event), sep=", ")
                found[-1] |= {what for what, text in tells.items() if text.encode() in event}
kept = {"deviceid", "onnxruntime.db", ".ses"}
sys.exit(0 if kept <= found[0] and "the path of Python" in found[0] and kept <= found[1] and not found[2] and not found[3] else f"It is otherwise here: {found}")
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder"
