"""Who can reach a gateway: the addresses of this machine on which its port answers.

The gateway asks nobody who he is: whoever reaches its port trades. As it is shipped it
listens on all addresses, and only its list of allowed clients stands in between.
"""

import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psutil

TIMEOUT_S: Final = 0.5
_IP_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


def addresses_of_this_machine() -> tuple[str, ...]:
    """Return the addresses that other machines may reach this one at, without loopback."""
    found: set[str] = set()
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in _IP_FAMILIES:
                text = address.address.partition("%")[0]
                ip = ipaddress.ip_address(text)
                if not (ip.is_loopback or ip.is_link_local):
                    found.add(text)
    return tuple(sorted(found))


def answers_at(addresses: Iterable[str], port: int) -> tuple[str, ...]:
    """Return those addresses at which something takes a connection to `port`.

    Nothing is sent. Connections to an address of this machine never leave it.
    """
    asked = tuple(addresses)
    if not asked:
        return ()
    with ThreadPoolExecutor(max_workers=min(len(asked), 16)) as pool:
        answers = pool.map(lambda address: _answers(address, port), asked)
    return tuple(address for address, answer in zip(asked, answers, strict=True) if answer)


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False
