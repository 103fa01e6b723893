"""Runs a process that writes a journal, and records every change of its files in order."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ACKS: Final = "acknowledged"
"""The file that the process appends to whenever something was called durable."""

_HEAD: Final = struct.Struct("<cIQI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the disk. `kind` is as in `recorder.c`: c, o, w, t, s, u or r."""

    kind: str
    file: int
    offset: int
    data: bytes


def compiler() -> str | None:
    """Return the C compiler, None without one."""
    return shutil.which("cc") or shutil.which("gcc")


def build_recorder(folder: Path) -> Path:
    """Compile the recorder. Raises `CalledProcessError` with the compiler's words."""
    library = folder / "recorder.so"
    cc = compiler()
    assert cc is not None, "ask `compiler` first"
    source = Path(__file__).with_name("recorder.c")
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library))
    subprocess.run([cc, *flags, str(source), "-ldl", "-lpthread"], check=True)
    return library


def record(library: Path, folder: Path, *arguments: str) -> tuple[Change, ...]:
    """Let `tests.power.victim` write a journal into `folder / "disk"`; return what it did."""
    disk, log = folder / "disk", folder / "log"
    disk.mkdir()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "POWER_FOLDER": str(disk),
        "POWER_LOG": str(log),
    }
    command = [sys.executable, "-m", "tests.power.victim", str(disk), *arguments]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=300)
    return tuple(_changes(log.read_bytes()))


def _changes(log: bytes) -> Iterator[Change]:
    at = 0
    while at < len(log):
        kind, file, offset, length = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        yield Change(kind=kind.decode(), file=file, offset=offset, data=log[at : at + length])
        at += length
