"""The self-signed certificate a simulated gateway shows.

Rule: the key never leaves its folder, and only its owner can read it.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME: Final = timedelta(days=365)
_CLOCK_SKEW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, both on disk.

    `pin_sha256` is the hex SHA-256 of the certificate in DER, what clients pin.
    """

    certificate_file: Path
    key_file: Path
    pin_sha256: str


def load_or_make_certificate(directory: Path, *, now: datetime | None = None) -> Certificate:
    """The certificate kept in `directory`; made anew when absent or expired.

    It is kept so that a client's pin survives a restart of the gateway.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(parents=True, exist_ok=True)
    certificate_file = directory / "cert.pem"
    key_file = directory / "key.pem"
    if certificate_file.exists() and key_file.exists():
        kept = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if kept.not_valid_before_utc <= now < kept.not_valid_after_utc:
            return _described(kept, certificate_file, key_file)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(key, now)
    key_file.unlink(missing_ok=True)
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return _described(certificate, certificate_file, key_file)


def _described(
    certificate: x509.Certificate, certificate_file: Path, key_file: Path
) -> Certificate:
    return Certificate(
        certificate_file=certificate_file,
        key_file=key_file,
        pin_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated gateway"),
            x509.NameAttribute(NameOID.COMMON_NAME, "localhost"),
        ]
    )
    addresses = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    public_key = key.public_key()
    # Strict verifiers (Python 3.13's default) want the key identifiers and the
    # basic constraints, even of a certificate that is its own anchor.
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(addresses, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), critical=False
        )
        .sign(key, hashes.SHA256())
    )
