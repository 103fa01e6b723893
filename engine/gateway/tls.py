"""Who the gateway must be before a byte is said to it.

Rule 1: whoever answers on the gateway's port gets orders, so its certificate is checked
by a CA file or by its pin. Without a check only loopback is spoken to, and only when the
configuration says so.

Rule 2: the pin is compared right after the TLS handshake, before the first byte of a
request. The host name is not compared then: the certificate that the broker ships names
no host, and expired in 2019.
"""

import ipaddress
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

import aiohttp

Verification: TypeAlias = ssl.SSLContext | aiohttp.Fingerprint

_PIN: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPolicy:
    """How a gateway proves who it is.

    `ca_file` goes with `ca`. `pin_sha256` goes with `pin`: the SHA-256 of the certificate
    in DER, in hex, with or without colons.
    """

    verify: Literal["ca", "pin", "insecure_loopback"]
    ca_file: Path | None = None
    pin_sha256: str | None = None


def check_url(url: str) -> str:
    """Return the gateway's address without a trailing slash.

    Raises `ValueError` unless it is `https://host[:port]` and nothing else.
    """
    parts = urlsplit(url)
    try:
        port_is_valid = parts.port != 0
    except ValueError:
        port_is_valid = False
    rest = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme != "https" or not parts.hostname or any(rest) or not port_is_valid:
        message = f"gateway is {url!r}, expected https://host:port"
        raise ValueError(message)
    return url.rstrip("/")


def verification(policy: TlsPolicy, url: str) -> Verification:
    """Return how connections to `url` are checked.

    Raises `ValueError` when the policy is not whole, its CA file cannot be read, or it
    wants to skip the check of a host that is not this machine.
    """
    match policy.verify:
        case "ca":
            return _with_ca(policy.ca_file)
        case "pin":
            return _with_pin(policy.pin_sha256)
        case "insecure_loopback":
            return _without_check(urlsplit(url).hostname or "")


def _with_ca(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        message = "verify is 'ca', so ca_file is needed"
        raise ValueError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        message = f"ca_file {ca_file} cannot be used: {error}"
        raise ValueError(message) from error
    return context


def _with_pin(pin_sha256: str | None) -> aiohttp.Fingerprint:
    pin = (pin_sha256 or "").replace(":", "").lower()
    if not _PIN.fullmatch(pin):
        message = f"pin_sha256 is {pin_sha256!r}, expected 64 hex digits"
        raise ValueError(message)
    return aiohttp.Fingerprint(bytes.fromhex(pin))


def _without_check(host: str) -> ssl.SSLContext:
    if not is_loopback(host):
        message = f"verify is 'insecure_loopback', but {host!r} is not this machine"
        raise ValueError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(host: str) -> bool:
    """Tell whether a host can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
