"""Ids: the names of things, ours and the broker's, and how ours are made."""

from typing import Final, NewType

AccountId = NewType("AccountId", str)
SessionName = NewType("SessionName", str)
ConId = NewType("ConId", int)
OrderId = NewType("OrderId", str)
ClientOrderId = NewType("ClientOrderId", str)
Coid = NewType("Coid", str)
"""The client order id on the wire (`cOID` there, `order_ref` when it comes back)."""
BrokerOrderId = NewType("BrokerOrderId", str)
ExecutionId = NewType("ExecutionId", str)
QuestionId = NewType("QuestionId", str)
MessageId = NewType("MessageId", str)
"""The broker's name for a kind of question, such as `o354` (no market data)."""


def execution_root(execution_id: ExecutionId) -> str:
    """Return the part of an execution's id that its corrections share.

    The last segment is the revision: `….01.01` is corrected as `….01.02`.
    """
    root, dot, _revision = execution_id.rpartition(".")
    return root if dot else execution_id


def is_first_revision(execution_id: ExecutionId) -> bool:
    """Say whether an execution's id is that of a fill, and not of a correction of it."""
    _, dot, revision = execution_id.rpartition(".")
    return not (dot and revision.isdecimal()) or int(revision) <= 1


_BASE32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def base32(number: int) -> str:
    """Write a non-negative number in Crockford's base 32, without leading zeros."""
    assert number >= 0
    digits = ""
    while True:
        number, digit = divmod(number, 32)
        digits = _BASE32[digit] + digits
        if number == 0:
            return digits


def make_order_id(epoch: int, sequence: int) -> OrderId:
    """Our name of the `sequence`-th order of a journal epoch."""
    return OrderId(f"{base32(epoch)}-{base32(sequence)}")


def make_coid(shard: str, epoch: int, sequence: int) -> Coid:
    """The id that travels: tag, shard, epoch, sequence and two check characters.

    It stays below 32 ASCII characters, never repeats (the epoch grows with every start
    on a journal), and its shape tells our orders from others' at the broker.
    """
    body = f"EX{shard}-{base32(epoch)}-{base32(sequence)}"
    return Coid(f"{body}-{_check(body)}")


def is_our_coid(text: str, shard: str) -> bool:
    """True when `text` is a cOID that this shard made, in this epoch or an older one."""
    body, _, check = text.rpartition("-")
    return body.startswith(f"EX{shard}-") and check == _check(body)


def _check(body: str) -> str:
    total = 0
    for character in body:
        total = (total * 37 + ord(character)) % 1021
    return _BASE32[total // 32] + _BASE32[total % 32]
