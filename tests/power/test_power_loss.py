"""The journal after a power failure between any two changes of its disk."""

from pathlib import Path

import pytest

from tests.power.power_loss import cut
from tests.power.recording import build_recorder, compiler, record

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler (cc)")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled recorder."""
    return build_recorder(tmp_path_factory.mktemp("recorder"))


def test_nothing_that_was_acknowledged_is_lost(recorder: Path, tmp_path: Path) -> None:
    changes = record(recorder, tmp_path, "--commits", "60")

    verdict = cut(changes, draws=2)

    assert verdict.states > len(changes)
    assert verdict.damaged == []
    assert verdict.lost == []


def test_a_journal_that_syncs_less_is_caught(recorder: Path, tmp_path: Path) -> None:
    """The negative control: a harness that finds nothing proves nothing."""
    changes = record(recorder, tmp_path, "--commits", "60", "--sync", "NORMAL")

    verdict = cut(changes, every=3)

    assert verdict.damaged == []
    assert len(verdict.lost) > verdict.states // 10
