#!/usr/bin/env bash
# Protego 0.7.0 lets a group of robots.txt for the agent "spot" speak for "spotter" too; RFC 9309 wants the whole token.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check protego==0.7.0
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from protego import Protego


def allowed(agent: str, asked_for: str) -> bool:
    rules = Protego.parse(f"User-agent: {agent}\nDisallow: /\n")
    return rules.can_fetch("https://example.org/picture.jpg", asked_for)


print("Protego", version("protego"))
found = {agent: allowed(agent, "spotter") for agent in ("spotter", "spot", "s", "potter", "spotters")}
for agent, free in found.items():
    print(f"User-agent: {agent:9} Disallow: /   ->  may spotter fetch? {free}")
assert found == {"spotter": False, "spot": False, "s": False, "potter": True, "spotters": True}, found
print("A site that shuts out a crawler called spot, or s, shuts out spotter as well.")
PYTHON
