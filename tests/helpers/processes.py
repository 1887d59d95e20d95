"""The app as a process of its own: start it, learn its address, stop it."""

import os
import re
import signal
import subprocess
import sys

from tests.conftest import ROOT


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "app.py", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", line), (line, process.stderr and process.stderr.read())
    return line


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    return process.returncode
