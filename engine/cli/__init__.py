"""The `engine` command."""

from engine.cli.command import main

__all__ = ["main"]
