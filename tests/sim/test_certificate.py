import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from engine.sim.certificate import load_or_make_certificate


def test_the_certificate_names_every_loopback_address(tmp_path: Path) -> None:
    made = load_or_make_certificate(tmp_path)

    certificate = x509.load_pem_x509_certificate(made.certificate_file.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["127.0.0.1", "::1"]


def test_only_the_owner_can_read_the_key(tmp_path: Path) -> None:
    made = load_or_make_certificate(tmp_path)

    assert stat.S_IMODE(made.key_file.stat().st_mode) == 0o600


def test_a_restart_keeps_the_pin(tmp_path: Path) -> None:
    first = load_or_make_certificate(tmp_path / "kept")

    assert load_or_make_certificate(tmp_path / "kept") == first


def test_an_expired_certificate_is_made_anew(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    expired = load_or_make_certificate(tmp_path, now=long_ago)

    assert load_or_make_certificate(tmp_path).pin_sha256 != expired.pin_sha256
