"""The certificate that a gateway shows, read without trusting it: what a pin is made from."""

import hashlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from engine.gateway.tls import check_url

TIMEOUT_S: Final = 5.0
_HTTPS: Final = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCertificate:
    """What a gateway showed. `sha256` is of its DER, in hex: the pin.

    `names` are the hosts and addresses that it is for; the one that the broker ships
    names none.
    """

    sha256: str
    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def read_certificate(url: str) -> ShownCertificate:
    """Connect, take the certificate, and send nothing.

    Raises `ValueError` for an address that is none, `OSError` (`ssl.SSLError` is one) when
    nobody answers there, or not with TLS.
    """
    parts = urlsplit(check_url(url))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nobody can check a certificate that he is about to see for the first time.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = (parts.hostname or "", parts.port or _HTTPS)
    with (
        socket.create_connection(address, timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None, "a TLS server always shows a certificate"
    return _parse(shown)


def _parse(der: bytes) -> ShownCertificate:
    found = x509.load_der_x509_certificate(der)
    return ShownCertificate(
        sha256=hashlib.sha256(der).hexdigest(),
        subject=found.subject.rfc4514_string(),
        names=_names(found),
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
    )


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*hosts, *map(str, addresses))
