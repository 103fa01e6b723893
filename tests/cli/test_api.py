"""The client of the commands: the token, the address, and what goes wrong on the way."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cli.api import Address, Answer, Api, ApiFailure, Token, find_token, parse_address
from engine.sim.certificate import load_or_make_certificate
from tests.cli.bodies import SESSIONS
from tests.cli.fake_api import TOKEN, FakeApi
from tests.cli.terminal import Terminal


def test_the_token_of_the_state_directory_is_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", "/v1/sessions", SESSIONS)

    ended = terminal.types("sessions")

    assert ended.code == 0
    assert [request.authorization for request in api.requests] == [f"Bearer {TOKEN}"]


def test_the_environment_outranks_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-file")

    token = find_token({"ENGINE_TOKEN": "of-the-environment"}, token_file=None, state_dir=tmp_path)

    assert token == Token(value="of-the-environment", source="ENGINE_TOKEN")


def test_a_named_token_file_outranks_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "named"
    file.write_text("of-the-named-file\n")

    token = find_token({"ENGINE_TOKEN": "other"}, token_file=file, state_dir=tmp_path)

    assert token == Token(value="of-the-named-file", source=str(file))


def test_a_token_is_not_in_its_own_repr() -> None:
    token = Token(value=TOKEN, source="ENGINE_TOKEN")

    assert TOKEN not in repr(Api(address=parse_address("http://localhost:1"), token=token))


@pytest.mark.parametrize("text", ["", "\n", f"{TOKEN}\nX-Evil: 1", f"{TOKEN} x", f"{TOKEN}é"])
def test_a_file_without_a_clean_token_is_refused_unshown(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)

    with pytest.raises(ApiFailure, match="holds no token: one line") as caught:
        find_token({}, token_file=None, state_dir=tmp_path)

    assert TOKEN not in str(caught.value)
    assert not caught.value.was_sent


def test_a_token_file_that_was_named_must_exist(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal.types("sessions", "--token-file", str(tmp_path / "absent"))

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == f"engine: there is no token file {tmp_path / 'absent'}\n"


def test_a_directory_is_no_token_file(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal.types("sessions", "--token-file", str(tmp_path))

    assert (ended.code, ended.stdout) == (1, "")
    assert "cannot be read: Is a directory" in ended.stderr


def test_a_wrong_token_says_where_it_came_from(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", "/v1/sessions", 401, "UNAUTHORIZED", "the token is wrong")

    ended = terminal.types("sessions")

    source = Path(str(terminal.environment["ENGINE_STATE_DIR"])) / "token"
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"engine: UNAUTHORIZED: the token is wrong\nthe token came from {source}\n"
    )


def test_without_a_token_none_is_sent_and_the_refusal_says_where_to_put_it(
    api: FakeApi, terminal: Terminal, tmp_path: Path
) -> None:
    api.refuses("GET", "/v1/sessions", 401, "UNAUTHORIZED", "a token is needed")

    ended = terminal.types("sessions", "--state-dir", str(tmp_path / "elsewhere"))

    assert api.requests[0].authorization is None
    assert ended.code == 1
    assert "no token was sent: there is no" in ended.stderr
    assert "set ENGINE_TOKEN, --token-file or --state-dir" in ended.stderr


def test_no_engine_says_so_and_how_to_start_one(api: FakeApi, terminal: Terminal) -> None:
    api.stop()
    url = api.url

    ended = terminal.types("sessions")
    api.start()

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"engine: no engine answers at {url}: connection refused; is `engine run` running?\n"
    )


def test_an_engine_that_hangs_up_is_told_from_one_that_is_not_there(
    api: FakeApi, terminal: Terminal
) -> None:
    api.cuts("GET", "/v1/sessions")

    ended = terminal.types("sessions")

    assert ended.code == 1
    assert ended.stderr == (
        f"engine: the engine at {api.url} broke off: it closed the connection without an answer\n"
    )


def test_an_engine_that_is_silent_is_left_after_a_time(api: FakeApi) -> None:
    api.streams("/v1/sessions", "", holds=True)
    client = Api(address=parse_address(api.url), token=Token(value=None, source=""))

    with pytest.raises(ApiFailure, match=r"gave no answer within 0\.05 s") as caught:
        client.request("GET", "/v1/sessions", timeout_s=0.05)

    assert caught.value.was_sent


@pytest.mark.parametrize("text", ["<html>hello</html>", "[]", '{"other": 1}'])
def test_something_else_than_an_engine_is_recognised(
    text: str, api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/sessions", text)

    ended = terminal.types("sessions")

    assert (ended.code, ended.stdout) == (1, "")
    assert "is that an engine?" in ended.stderr


def test_a_refusal_that_is_not_of_the_contract_names_its_status(
    api: FakeApi, terminal: Terminal
) -> None:
    api.answers("GET", "/v1/sessions", "<html>bad gateway</html>", status=502)

    ended = terminal.types("sessions")

    assert ended.code == 1
    assert ended.stderr == f"engine: the engine at {api.url} answered with status 502\n"


def test_the_details_of_a_refusal_are_shown(api: FakeApi, terminal: Terminal) -> None:
    error = {"code": "AMBIGUOUS_SYMBOL", "message": "name one", "details": {"conids": [1, 2]}}
    api.answers("GET", "/v1/sessions", {"error": error}, status=400)

    ended = terminal.types("sessions")

    assert ended.stderr == ('engine: AMBIGUOUS_SYMBOL: name one\ndetails: {"conids": [1, 2]}\n')


def test_numbers_keep_every_digit() -> None:
    answer = Answer(status=200, text='{"price": 0.10000000000000000001, "count": 3}')

    assert answer.body == {"price": "0.10000000000000000001", "count": 3}


def test_an_address_is_read_with_the_port_of_its_scheme() -> None:
    addresses = [
        parse_address(text)
        for text in ("http://127.0.0.1:8700/", "https://engine.example", "http://[::1]:1")
    ]

    assert addresses == [
        Address(scheme="http", host="127.0.0.1", port=8700),
        Address(scheme="https", host="engine.example", port=443),
        Address(scheme="http", host="::1", port=1),
    ]
    assert [str(address) for address in addresses] == [
        "http://127.0.0.1:8700",
        "https://engine.example:443",
        "http://[::1]:1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:8700",
        "ftp://localhost",
        "http://localhost/v1",
        "http://localhost:99999",
        "http://",
    ],
)
def test_what_is_no_address_is_a_usage_error(text: str, terminal: Terminal) -> None:
    ended = terminal.types("sessions", "--api", text)

    assert (ended.code, ended.stdout) == (2, "")


def test_the_token_is_never_sent_unencrypted_to_another_machine(terminal: Terminal) -> None:
    ended = terminal.types("sessions", "--api", "http://engine.example:8700")

    assert ended.code == 2
    assert "would carry the token unencrypted" in ended.stderr


def test_a_password_in_an_address_is_refused_unshown(terminal: Terminal) -> None:
    ended = terminal.types("sessions", "--api", f"https://me:{TOKEN}@localhost")

    assert ended.code == 2
    assert "holds a user or a password" in ended.stderr


@pytest.fixture
def secure_api(tmp_path: Path) -> Iterator[FakeApi]:
    """An API over TLS whose certificate nobody signed; it is in `cert.pem`."""
    certificate = load_or_make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    api = FakeApi()
    api.start(context)
    yield api
    api.stop()


def test_an_https_api_is_checked_against_the_ca_file(
    secure_api: FakeApi, terminal: Terminal, tmp_path: Path
) -> None:
    secure_api.answers("GET", "/v1/sessions", SESSIONS)

    ended = terminal.types(
        "sessions", "--json", "--api", secure_api.url, "--ca-file", str(tmp_path / "cert.pem")
    )

    assert (ended.code, json.loads(ended.stdout)) == (0, SESSIONS)


def test_a_certificate_that_is_not_trusted_gets_no_token(
    secure_api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("sessions", "--api", secure_api.url)

    assert (ended.code, ended.stdout, secure_api.requests) == (1, "", [])
    assert f"no engine can be trusted at {secure_api.url}" in ended.stderr
    assert "--ca-file" in ended.stderr


def test_a_ca_file_that_holds_no_certificate_is_a_failure(
    secure_api: FakeApi, terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("nothing")

    ended = terminal.types("sessions", "--api", secure_api.url, "--ca-file", str(file))

    assert (ended.code, ended.stdout, secure_api.requests) == (1, "", [])
    assert f"{file} holds no certificate" in ended.stderr
