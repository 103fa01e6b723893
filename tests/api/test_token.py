import hashlib
import io
import os
from pathlib import Path

import pytest

from engine import log
from engine.api.token import Token, TokenError, TokenScope, load_or_make_token
from engine.domain.values import Mode


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_first_start_makes_a_token_for_its_owner_only(tmp_path: Path) -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    state_dir = tmp_path / "state"

    token = load_or_make_token(state_dir, {}, mode=Mode.PAPER)

    text = (state_dir / "token").read_text().strip()
    assert token == Token(digest=hashlib.sha256(text.encode()).digest(), scope=TokenScope.FULL)
    assert mode_of(state_dir / "token") == 0o600
    assert len(text) >= 43
    assert "token_made" in stream.getvalue()
    assert text not in stream.getvalue()
    assert text not in repr(token)


def test_later_starts_read_the_same_token(tmp_path: Path) -> None:
    first = load_or_make_token(tmp_path, {}, mode=Mode.PAPER)

    assert load_or_make_token(tmp_path, {}, mode=Mode.PAPER) == first


def test_the_token_that_is_made_in_live_mode_only_reads(tmp_path: Path) -> None:
    assert load_or_make_token(tmp_path, {}, mode=Mode.LIVE).scope is TokenScope.READ


def test_a_token_in_the_environment_wins_and_makes_no_file(tmp_path: Path) -> None:
    token = load_or_make_token(tmp_path, {"ENGINE_TOKEN": "chosen-by-hand-0001"}, mode=Mode.LIVE)

    assert token.matches("chosen-by-hand-0001")
    assert token.scope is TokenScope.FULL
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_variable_counts_as_none(tmp_path: Path, empty: str) -> None:
    load_or_make_token(tmp_path, {"ENGINE_TOKEN": empty}, mode=Mode.PAPER)

    assert (tmp_path / "token").exists()


def test_the_line_end_of_a_mounted_secret_is_no_part_of_the_token(tmp_path: Path) -> None:
    token = load_or_make_token(tmp_path, {"ENGINE_TOKEN": "mounted\n"}, mode=Mode.PAPER)

    assert token.matches("mounted")


def test_only_the_token_itself_matches(tmp_path: Path) -> None:
    token = load_or_make_token(tmp_path, {"ENGINE_TOKEN": "right"}, mode=Mode.PAPER)

    assert [token.matches(text) for text in ("right", "wrong", "", "right ", "\udcff")] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert token.id == hashlib.sha256(b"right").hexdigest()[:8]


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("two words", Mode.PAPER, "printable ASCII without spaces"),
        ("tökenö", Mode.PAPER, "printable ASCII"),
        ("x" * 4097, Mode.PAPER, "has 4097 characters, allowed are 1 to 4096"),
        ("short", Mode.LIVE, "has 5 characters, allowed are 16 to 4096 characters in live mode"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_unseen(
    tmp_path: Path, text: str, mode: Mode, words: str
) -> None:
    with pytest.raises(TokenError, match=words) as refused:
        load_or_make_token(tmp_path, {"ENGINE_TOKEN": text}, mode=mode)

    assert text not in str(refused.value)


def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("from-elsewhere\n")
    path.chmod(0o664)

    token = load_or_make_token(tmp_path, {}, mode=Mode.PAPER)

    assert token.matches("from-elsewhere")
    assert mode_of(path) == 0o600


def test_a_file_that_is_not_one_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")

    with pytest.raises(TokenError, match="not a regular file"):
        load_or_make_token(tmp_path, {}, mode=Mode.PAPER)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("secret-of-another\n")
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TokenError, match="cannot be read or made"):
        load_or_make_token(tmp_path, {}, mode=Mode.PAPER)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a b\n"])
def test_a_file_without_a_token_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)

    with pytest.raises(TokenError):
        load_or_make_token(tmp_path, {}, mode=Mode.PAPER)

    assert (tmp_path / "token").read_bytes() == content
