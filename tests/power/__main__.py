"""Cuts the power many times: `python -m tests.power --states 100000`."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.power.power_loss import cut
from tests.power.recording import build_recorder, record


def main() -> int:
    """Record and cut until enough states were seen; return the exit code."""
    parser = argparse.ArgumentParser(description="power loss, over and over")
    parser.add_argument("--states", type=int, default=10_000)
    parser.add_argument("--sync", default="FULL", help="FULL, or NORMAL to see it lose records")
    wanted = parser.parse_args()
    states = lost = damaged = seed = 0
    with tempfile.TemporaryDirectory() as name:
        library = build_recorder(Path(name))
        while states < wanted.states:
            folder = Path(name) / str(seed)
            folder.mkdir()
            arguments = ("--commits", "100", "--seed", str(seed), "--sync", wanted.sync)
            verdict = cut(record(library, folder, *arguments), draws=3, seed=seed)
            states += verdict.states
            lost += len(verdict.lost)
            damaged += len(verdict.damaged)
            for problem in (*verdict.damaged, *verdict.lost)[:5]:
                sys.stdout.write(f"{problem}\n")
            seed += 1
            sys.stdout.write(f"{states} states, {lost} with records lost, {damaged} damaged\n")
            sys.stdout.flush()
    return 1 if lost or damaged else 0


if __name__ == "__main__":
    sys.exit(main())
