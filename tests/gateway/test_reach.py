"""Which addresses of this machine a port answers at."""

import ipaddress
import socket

from engine.gateway.reach import addresses_of_this_machine, answers_at


def test_only_the_addresses_that_answer_are_named() -> None:
    with socket.create_server(("127.0.0.2", 0)) as listening:
        port = listening.getsockname()[1]

        assert answers_at(("127.0.0.1", "127.0.0.2"), port) == ("127.0.0.2",)


def test_asking_nobody_finds_nobody() -> None:
    assert answers_at((), 5000) == ()


def test_the_addresses_of_this_machine_are_not_loopback() -> None:
    found = [ipaddress.ip_address(text) for text in addresses_of_this_machine()]

    assert not [address for address in found if address.is_loopback or address.is_link_local]
