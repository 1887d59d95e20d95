#!/usr/bin/env bash
# Gradio 6.31.0 reads and parses the source of each of its components on every import, to compare it with its stub files.
set -euo pipefail
# Only the first import may compile.
unset PYTHONDONTWRITEBYTECODE
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check gradio==6.31.0
cat > "$place/measure.py" <<'PYTHON'
import sys
import time
from importlib.machinery import PathFinder

calls, spent = [], 0.0


class Timed:
    """Puts a clock around `create_or_modify_pyi`, or with "without" nothing in its place, once its module is there."""

    def find_spec(self, name, path, target=None):
        if name != "gradio.component_meta":
            return None
        spec = PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            real = module.create_or_modify_pyi

            def timed(component, name, events):
                global spent
                started = time.perf_counter()
                calls.append(name)
                if sys.argv[1] != "without":
                    real(component, name, events)
                spent += time.perf_counter() - started

            module.create_or_modify_pyi = timed

        spec.loader.exec_module = load_and_change
        return spec


sys.meta_path.insert(0, Timed())
started = time.perf_counter()
import gradio  # noqa: E402

print(len(calls), spent, time.perf_counter() - started, gradio.__version__)
PYTHON
cd "$place"
# The first import compiles everything, and may write the stub files. Those after it have nothing left to write.
"$place/venv/bin/python" measure.py with > /dev/null
for _ in 1 2 3 4 5; do
  for how in with without; do echo "$how $("$place/venv/bin/python" measure.py "$how")"; done
done > figures.txt
"$place/venv/bin/python" - <<'PYTHON'
from pathlib import Path
from statistics import median

rows = [line.split() for line in Path("figures.txt").read_text().splitlines()]
whole = {how: median(float(row[3]) for row in rows if row[0] == how) for how in ("with", "without")}
share = median(float(row[2]) / float(row[3]) for row in rows if row[0] == "with")
print("gradio", rows[0][4])
print(f"Each import calls create_or_modify_pyi for {rows[0][1]} components, also when there is nothing left to write.")
print(f"Import: {whole['with']:.2f} s, of which {share:.0%} in that function; without it {whole['without']:.2f} s.")
assert int(rows[0][1]) > 20, rows
assert share > 0.2, rows
PYTHON
