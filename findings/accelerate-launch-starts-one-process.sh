#!/usr/bin/env bash
# `accelerate launch --cpu --num_processes 2` of accelerate 1.15.0 starts one process on a machine without graphics cards, and does not say that the number counts for nothing.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check accelerate==1.15.0 torch==2.14.1
cat > "$place/work.py" <<'PYTHON'
import os

from accelerate import PartialState

state = PartialState(cpu=True)
print(f"process {state.process_index} of {state.num_processes}", flush=True)
PYTHON
cd "$place"
venv/bin/python -c 'from importlib.metadata import version; print("accelerate", version("accelerate"), "torch", version("torch"))'

# What the command prints beside our script's own lines: of the number of processes it says nothing.
by_accelerate=$(venv/bin/accelerate launch --cpu --num_processes 2 work.py 2> told.txt)
echo "accelerate launch --cpu --num_processes 2:"
echo "$by_accelerate"
by_torchrun=$(venv/bin/torchrun --nproc-per-node 2 work.py 2> /dev/null | sort)
echo "torchrun --nproc-per-node 2:"
echo "$by_torchrun"
[[ "$by_accelerate" == "process 0 of 1" ]]
[[ "$by_torchrun" == $'process 0 of 2\nprocess 1 of 2' ]]
if grep -q "num_processes" told.txt; then
    echo "it says something of the number now:"
    cat told.txt
    exit 1
fi
echo "and of the number it says nothing."
