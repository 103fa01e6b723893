"""What is sent: masked frames that a server can read, each with its own key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._rust_core import ProtocolError, accept_key, encode_close, encode_text


def unmask(sent: bytes) -> tuple[int, bytes]:
    """Read one masked frame as a server would."""
    length, start = sent[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(sent[2:4]), 4
    elif length == 127:
        length, start = int.from_bytes(sent[2:10]), 10
    assert sent[1] & 0x80
    key, masked = sent[start : start + 4], sent[start + 4 :]
    assert len(masked) == length
    return sent[0], bytes(byte ^ key[index % 4] for index, byte in enumerate(masked))


@given(st.text() | st.sampled_from([125, 126, 65535, 65536]).map(lambda length: "x" * length))
def test_a_text_arrives_as_it_was_given(text: str) -> None:
    assert unmask(encode_text(text.encode())) == (0x81, text.encode())


def test_no_two_frames_have_the_same_mask() -> None:
    keys = {encode_text(b"tic")[2:6] for _ in range(100)}

    assert len(keys) == 100


def test_a_text_must_be_utf8() -> None:
    with pytest.raises(ValueError, match="text that is not UTF-8"):
        encode_text(b"\xff")


@pytest.mark.parametrize(
    ("code", "payload"), [(1000, b"\x03\xe8"), (4999, b"\x13\x87"), (1005, b"")]
)
def test_a_close_carries_its_code(code: int, payload: bytes) -> None:
    assert unmask(encode_close(code)) == (0x88, payload)


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 5000, 65535])
def test_a_reserved_close_code_is_not_sent(code: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"close code {code}, allowed are")):
        encode_close(code)


def test_the_example_of_the_standard_is_accepted() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_protocol_error_is_a_value_error_with_a_close_code() -> None:
    assert issubclass(ProtocolError, ValueError)
    assert ProtocolError("x").close_code == 1002
    assert ProtocolError.__module__ == "engine._rust_core"
