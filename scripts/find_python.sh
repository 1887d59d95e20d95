#!/usr/bin/env bash
# Print the path of the first of the given interpreters that runs and can make environments: scripts/find_python.sh NAME...
set -euo pipefail
if [[ "${1:-}" == --help ]]; then sed -n '2s/# //p' "$0"; exit 0; fi

works() {
    # A shim of pyenv is there for versions that are not switched on, and prints an error.
    "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null
}

for name in "$@"; do
    if command -v "$name" >/dev/null && works "$name"; then
        command -v "$name"
        exit 0
    fi
done
exit 1
