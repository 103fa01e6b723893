import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.wire.excerpt import excerpt, redact

TOKEN = "bb665d0f9a0a4a8d9a3f3b6d6a1c6d5e"
SECRETS = {
    "session": "hunter2",
    "id": "hunter2",
    "token": "hunter2",
    "access_token": "hunter2",
    "hardware_info": "hunter2|AA",
    "MAC": "AA:BB:CC:DD:EE:FF",
    "USER_NAME": "hunter2",
    "PAPER_USER_NAME": "hunter2",
    "userId": 123456,
    "CREDENTIAL": "hunter2",
    "IP": "192.0.2.7",
    "sessionId": ["hunter2"],
}


def test_an_excerpt_is_one_short_line_whatever_the_bytes_are() -> None:
    assert excerpt(b"<html>\n<body>") == "<html> <body>"
    assert excerpt(b"\xff" + b"x" * 500) == "\ufffd" + "x" * 79 + "..."
    assert excerpt(b"a\x00\x1bb") == "ab"


@pytest.mark.parametrize("key", SECRETS)
def test_the_value_of_a_secret_member_is_not_shown(key: str) -> None:
    body = json.dumps({key: SECRETS[key]})

    assert excerpt(body.encode()).startswith(f'{{"{key}": "***"')
    nested = excerpt(json.dumps({"message": body}).encode())
    for value in ("hunter2", "123456", "AA:BB", "192.0.2.7"):
        assert value not in excerpt(body.encode())
        assert value not in nested


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"session":"hunt', '{"session":"***"'),
        (r'{"session":"hu\"nt", "conid":5}', '{"session":"***", "conid":5}'),
        ('{"session": {"x": "hunter2"}, "y": 1}', '{"session": "***"'),
        ('api={"session":"hunter2"}', 'api=***"session":"***"}'),
        ("JSESSIONID=hunter2; path=/", "JSESSIONID=***; path=/"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        (f"the token {TOKEN} has expired", "the token *** has expired"),
        (f"of {TOKEN.upper()} {'aZ9+' * 10}==.", "of *** ***."),
        ("DU1234567 is unknown", "DU***4567 is unknown"),
    ],
)
def test_secrets_are_found_in_other_forms_too(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        '{"conid":265598,"order_id":"1370093239","orderId":5,"messageIds":["o163"]}',
        "Local order ID=EXmain-12-34567-ZZ is already registered",
        "Bad Request: Please query /accounts first",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert redact(text) == text


@given(cut=st.integers(0, 200), lead=st.text(max_size=1500))
def test_no_cut_shows_the_token(cut: int, lead: str) -> None:
    body = json.dumps({"message": lead, "session": TOKEN, "ssoExpires": 1}).encode()

    shown = excerpt(body[: len(body) - cut], characters_max=2000)

    assert TOKEN[:8] not in shown
