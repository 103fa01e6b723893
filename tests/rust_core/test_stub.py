"""The stub that people and type checkers read is the extension that runs."""

import subprocess
import sys


def test_the_stub_equals_the_extension() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "engine._rust_core"]

    finished = subprocess.run(command, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stdout + finished.stderr
