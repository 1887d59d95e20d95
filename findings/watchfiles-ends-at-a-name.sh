#!/usr/bin/env bash
# One new file whose name is no UTF-8 ends a watch of watchfiles 1.3.0 with an error, and the changes of other files that it had collected are lost.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check watchfiles==1.3.0
cat > "$place/look.py" <<'PYTHON'
import os
import threading
import time
from importlib.metadata import version
from pathlib import Path

import watchfiles

folder = Path("card")
folder.mkdir()


def write(*names):
    time.sleep(1)
    for name in names:
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(b"a picture")


def told(*names):
    """What a watch tells within five seconds of files with these names, and how it ended."""
    writing = threading.Thread(target=write, args=names)
    writing.start()
    found = set()
    try:
        for changes in watchfiles.watch(folder, rust_timeout=5000, yield_on_timeout=True):
            found |= {Path(path).name for _, path in changes}
            if not changes:
                return sorted(found), "still watching"
    except Exception as error:
        return sorted(found), f"{type(error).__name__}: {str(error).replace(str(folder.absolute()), 'card')}"
    finally:
        writing.join()


print("watchfiles", version("watchfiles"))
found, end = told(b"one.jpg", b"two.jpg")
print(f"one.jpg, two.jpg: told of {found}; {end}")
assert found == ["one.jpg", "two.jpg"] and end == "still watching", (found, end)
found, end = told(b"three.jpg", "café.jpg".encode("latin-1"), b"four.jpg")
print(f"three.jpg, café.jpg in Latin-1, four.jpg: told of {found}; {end}")
assert found == [] and "Unable to decode path" in end, (found, end)
PYTHON
cd "$place"
venv/bin/python look.py
