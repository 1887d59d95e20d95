#!/usr/bin/env bash
# `safetensors.numpy.save` of safetensors 0.8.0 writes an array's memory as it lies there. An array that is transposed, in
# Fortran order or every second column of another comes back with the right shape and type and other values, without an
# error or a warning. numpy's own format keeps all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q --disable-pip-version-check install safetensors==0.8.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import io, sys
import numpy as np
import safetensors
from safetensors.numpy import load, save

whole = np.arange(24, dtype=np.float32).reshape(4, 6)
arrays = {
    "as it is": whole,
    "transposed": whole.T,
    "in Fortran order": np.asfortranarray(whole),
    "every second column": whole[:, ::2],
}
print("safetensors", safetensors.__version__, "- numpy", np.__version__)
right = {}
for name, array in arrays.items():
    back = load(save({"a": array}))["a"]
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    assert np.array_equal(np.load(file), array), "numpy's own format keeps them all"
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    right[name] = np.array_equal(back, array)
    print(f"{name}: {'right' if right[name] else 'other values'}\n  saved {array[0].tolist()} ...\n  read  {back[0].tolist()} ...")
print(right)
wrong = {name for name, same in right.items() if not same}
sys.exit(0 if wrong == set(arrays) - {"as it is"} else "It is otherwise here.")
PYTHON
