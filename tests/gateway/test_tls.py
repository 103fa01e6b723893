import asyncio
import re
from pathlib import Path

import pytest

from engine.gateway.client import Answer, Broken, Lane, NoAnswer, Request
from engine.gateway.tls import TlsPolicy, check_url, is_loopback, verification
from tests.gateway.raw_gateway import (
    Certificate,
    always,
    client_of,
    http,
    make_certificate,
    raw_gateway,
)

READ = Request(method="GET", path="/tickle", endpoint="/tickle", lane=Lane.STATUS)


def ask(served: Certificate, tls: TlsPolicy) -> tuple[Answer | NoAnswer, int]:
    """What a client with this policy gets, and how many requests reached the gateway."""

    async def run() -> tuple[Answer | NoAnswer, int]:
        async with (
            raw_gateway(served, always(http(200, {}))) as gateway,
            client_of(gateway.url, served, tls=tls) as client,
        ):
            return await client.request(READ), len(gateway.seen)

    return asyncio.run(run())


def test_a_certificate_that_the_ca_file_holds_is_trusted(certificate: Certificate) -> None:
    answer, requests = ask(certificate, TlsPolicy(verify="ca", ca_file=certificate.file))

    assert (answer, requests) == (Answer(status=200, body=b"{}"), 1)


def test_a_certificate_of_somebody_else_is_refused_before_a_request_is_written(
    certificate: Certificate, shipped_certificate: Certificate
) -> None:
    answer, requests = ask(certificate, TlsPolicy(verify="ca", ca_file=shipped_certificate.file))

    assert isinstance(answer, NoAnswer)
    assert (answer.why, answer.sent, requests) == (Broken.TLS_REFUSED, False, 0)


def test_a_ca_file_does_not_trust_a_certificate_that_names_another_host(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, host="127.0.0.2")

    answer, requests = ask(other, TlsPolicy(verify="ca", ca_file=other.file))

    assert isinstance(answer, NoAnswer)
    assert (answer.why, requests) == (Broken.TLS_REFUSED, 0)


def test_a_pin_trusts_the_expired_certificate_without_a_name_that_the_broker_ships(
    shipped_certificate: Certificate,
) -> None:
    pin = shipped_certificate.pin_sha256.upper()
    colons = ":".join(re.findall("..", pin))

    answer, requests = ask(shipped_certificate, TlsPolicy(verify="pin", pin_sha256=colons))

    assert (answer, requests) == (Answer(status=200, body=b"{}"), 1)


def test_another_pin_is_refused_before_a_request_is_written(certificate: Certificate) -> None:
    answer, requests = ask(certificate, TlsPolicy(verify="pin", pin_sha256="0" * 64))

    message = f"the certificate's SHA-256 is {certificate.pin_sha256}, not the pinned one"
    refused = NoAnswer(why=Broken.TLS_REFUSED, sent=False, message=message)
    assert (answer, requests) == (refused, 0)


def test_loopback_may_go_unchecked_when_that_is_said(shipped_certificate: Certificate) -> None:
    answer, _ = ask(shipped_certificate, TlsPolicy(verify="insecure_loopback"))

    assert answer == Answer(status=200, body=b"{}")


@pytest.mark.parametrize("host", ["gateway.example", "10.0.0.5", "0.0.0.0", "localhost.example"])
def test_no_other_host_may_go_unchecked(host: str) -> None:
    with pytest.raises(ValueError, match=f"{host!r} is not this machine"):
        verification(TlsPolicy(verify="insecure_loopback"), f"https://{host}:5000")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_has_several_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (TlsPolicy(verify="ca"), "ca_file is needed"),
        (TlsPolicy(verify="ca", ca_file=Path("/nowhere/ca.pem")), "/nowhere/ca.pem cannot be used"),
        (TlsPolicy(verify="ca", ca_file=Path(__file__)), "cannot be used"),
        (TlsPolicy(verify="pin"), "pin_sha256 is None, expected 64 hex digits"),
        (TlsPolicy(verify="pin", pin_sha256="abc"), "pin_sha256 is 'abc', expected 64 hex"),
    ],
)
def test_a_policy_that_is_not_whole_is_refused_at_once(policy: TlsPolicy, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        verification(policy, "https://127.0.0.1:5000")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:5000",
        "127.0.0.1:5000",
        "https://",
        "https://127.0.0.1:5000/v1/api",
        "https://127.0.0.1:99999",
        "https://me@127.0.0.1",
        "https://127.0.0.1?x=1",
    ],
)
def test_an_address_that_is_not_https_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected https://host:port"):
        check_url(url)


def test_a_trailing_slash_does_not_matter() -> None:
    assert check_url("https://127.0.0.1:5000/") == "https://127.0.0.1:5000"
