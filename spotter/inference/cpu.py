"""The CPU: its name, and whether it has instructions for int8."""

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name as it gives it, or its kind ("x86_64") where it gives none."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read(cpuinfo), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def has_vnni(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor is known to sum products of int8 without overflow (the VNNI instructions of x86)."""
    return bool(re.search(r"^flags\s*:.*\b(avx512_vnni|avx_vnni)\b", _read(cpuinfo), re.MULTILINE))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
