"""A person at a terminal: types a command, and sees what it prints and how it ends."""

from dataclasses import dataclass, field

from typer.testing import CliRunner

from engine.cli.command import application
from tests.cli.fake_api import TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[list[str]]:
        """The words of each line of the result; cells stand two spaces apart."""
        return [
            [cell.strip() for cell in line.split("  ") if cell.strip()]
            for line in self.stdout.splitlines()
        ]


@dataclass(slots=True)
class Terminal:
    """Runs commands with an environment of its own."""

    environment: dict[str, str | None] = field(default_factory=dict)

    def types(self, *words: str) -> Ended:
        """Run `engine` with these words; whatever it does, it never shows the token."""
        result = CliRunner().invoke(
            application, list(words), env=self.environment, catch_exceptions=False
        )
        assert TOKEN not in result.output
        return Ended(code=result.exit_code, stdout=result.stdout, stderr=result.stderr)
