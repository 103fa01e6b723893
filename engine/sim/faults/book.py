"""The faults of one gateway: what is set, what is drawn, and what has struck.

Rule 1: every fault may be changed while the gateway runs, from any thread; the
gateway reads it at the moment it matters.

Rule 2: what struck is counted in `struck`, so that a test can prove it did.

Rule 3: chance comes from the gateway's own seed, and nothing is drawn for a
fault without a chance: the same seed and the same faults make the same night.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final

from engine.sim.faults.changes import ChangeFaults
from engine.sim.faults.executions import ExecutionFaults
from engine.sim.faults.kinds import CHANCED, Fault, Kind, chance, fault_of, fits, limits
from engine.sim.faults.lists import ListFaults
from engine.sim.faults.orders import OrderFaults
from engine.sim.faults.session import SessionFaults
from engine.sim.faults.stream import StreamFaults
from engine.sim.faults.transport import TransportFaults

_NEAR_MAX: Final = 3
SPELL_MS: Final = 10_000
"""For so long a condition with a chance holds, or does not, before it is drawn again."""


class FaultsFileError(ValueError):
    """Faults cannot be used; the text names file, line, value and what is allowed."""


@dataclass(kw_only=True)
class Faults(
    OrderFaults,
    ChangeFaults,
    ExecutionFaults,
    ListFaults,
    StreamFaults,
    SessionFaults,
    TransportFaults,
):
    """Switches, counters and chances.

    Counts say how many of the next are struck; `True` counts as one. `chances`
    are probabilities from 0 to 1 by the name of a count, a switch or a condition.
    """

    chances: dict[str, float] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    brokerage_resets_wanted: int = 0
    websocket_closes_wanted: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(0), compare=False)
    _drawn: frozenset[str] = field(default=frozenset(), compare=False)
    _spell: int = field(default=-1, compare=False)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a fault that there is not, which would strike nobody.

        Raises:
            AttributeError: There is no such fault.
        """
        if name not in _NAMES:
            message = f"{name} is no fault"
            raise AttributeError(message)
        super().__setattr__(name, value)

    def seed(self, seed: int | str) -> None:
        """Draw from this seed from now on."""
        self._chance = random.Random(f"faults:{seed}")

    def reset_brokerage(self) -> None:
        """End the brokerage session, as the broker does every night."""
        self.brokerage_resets_wanted += 1

    def close_websockets(self) -> None:
        """Close every socket with code 1000, as the gateway does when it loses the broker."""
        self.websocket_closes_wanted += 1

    # Giving faults.

    def change(self, values: Mapping[str, Any], *, where: str = "faults") -> None:
        """Give several faults new values, or none of them when one cannot be used.

        A chance is given as a text such as `5%`, or all of them as `chances`.

        Raises:
            FaultsFileError: A name or a value is not allowed; the text starts with `where`.
        """
        checked = {name: checked_value(name, value, where) for name, value in values.items()}
        if "chances" in checked:
            self.chances = dict(checked.pop("chances"))
        for name, value in checked.items():
            share = chance(value) if FAULTS[name].kind in CHANCED else None
            if share is None:
                setattr(self, name, value)
            elif share:
                self.chances[name] = share
            else:
                self.chances.pop(name, None)

    def clear(self) -> None:
        """Take every fault and every chance back; what struck stays counted."""
        self.change(Faults().values())

    def values(self) -> dict[str, Any]:
        """Every fault that can be given, with its value now, and the chances."""
        return {name: getattr(self, name) for name in FAULTS} | {"chances": dict(self.chances)}

    # Striking.

    def takes(self, name: str) -> bool:
        """True when a counted fault strikes now; one of its count is used up."""
        left = int(getattr(self, name))
        if left > 0:
            setattr(self, name, left - 1)
        elif not self._draws(name):
            return False
        self.struck[name] += 1
        return True

    def shows(self, name: str) -> bool:
        """True when a switched fault strikes now; that it did is counted."""
        strikes = bool(getattr(self, name)) or self._draws(name)
        if strikes:
            self.struck[name] += 1
        return strikes

    def holds(self, name: str) -> bool:
        """True while a condition is on, or was drawn for this spell; nothing is counted."""
        return bool(getattr(self, name)) or name in self._drawn

    def end(self, name: str) -> None:
        """Switch a condition off, for this spell at least."""
        setattr(self, name, False)
        self._drawn -= {name}

    def begin_spell(self, now_ms: int) -> None:
        """Draw the conditions anew, once in every spell."""
        spell = now_ms // SPELL_MS
        if spell == self._spell:
            return
        self._spell = spell
        self._drawn = frozenset(
            name
            for name in tuple(self.chances)
            if FAULTS[name].kind is Kind.CONDITION and self._draws_condition(name)
        )

    def takes_text(self, name: str) -> str | None:
        """The text of a one-shot fault, which is used up; None when it is not set."""
        text: str | None = getattr(self, name)
        if text is not None:
            setattr(self, name, None)
            self.struck[name] += 1
        return text

    def takes_drop(self) -> int | None:
        """After how many bytes to cut this answer, None for not at all."""
        bytes_max = self.drop_response_bytes
        if bytes_max is not None:
            self.drop_response_bytes = None
            self.struck["drop_response_bytes"] += 1
        return bytes_max

    def span_ms(self, name: str) -> int:
        """How long something takes now, in milliseconds; a span of two numbers is drawn from."""
        found = limits(getattr(self, name))
        assert found is not None, "a span is checked when it is given"
        low, high = found
        return round(1000 * (low if low == high else self._chance.uniform(low, high)))

    def number(self, low: int, high: int) -> int:
        """A whole number between two, both included."""
        return self._chance.randint(low, high)

    def _draws(self, name: str) -> bool:
        share = self.chances.get(name, 0.0)
        return share > 0 and self._chance.random() < share

    def _draws_condition(self, name: str) -> bool:
        drawn = self._draws(name)
        if drawn:
            self.struck[name] += 1
        return drawn


_NAMES: Final = frozenset(item.name for item in fields(Faults))
_SUBJECTS: Final[Mapping[str, type]] = {
    "New orders": OrderFaults,
    "Changes and cancels": ChangeFaults,
    "Executions": ExecutionFaults,
    "Lists, positions and numbers": ListFaults,
    "The stream": StreamFaults,
    "Sessions": SessionFaults,
    "The gateway": TransportFaults,
}
FAULTS: Final[Mapping[str, Fault]] = {
    fault.name: fault
    for subject, kind in _SUBJECTS.items()
    for item in fields(kind)
    if (fault := fault_of(item, subject)) is not None
}
"""Every fault that can be given, by its name, subject by subject."""


def no_fault(name: str) -> str:
    """What to say of a name that is no fault: there are too many to list them all."""
    near = get_close_matches(name, FAULTS, n=_NEAR_MAX) or get_close_matches(
        name, FAULTS, n=_NEAR_MAX, cutoff=0
    )
    return f"{name} is no fault; `engine sim faults list` shows all, near are {', '.join(near)}"


def checked_value(name: str, value: Any, where: str) -> Any:
    """The value of a fault, or of `chances`, if it may have that.

    Raises:
        FaultsFileError: It may not; the text starts with `where`.
    """
    if name == "chances":
        return _checked_chances(value, where)
    if name not in FAULTS:
        message = f"{where}: {no_fault(name)}"
        raise FaultsFileError(message)
    fault = FAULTS[name]
    if fits(fault, value) or (fault.kind in CHANCED and chance(value) is not None):
        return value
    message = f"{where}: {name} is {value!r}, allowed is {fault.allowed}"
    raise FaultsFileError(message)


def _checked_chances(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, dict):
        message = f"{where}: chances is {value!r}, allowed are names and numbers from 0 to 1"
        raise FaultsFileError(message)
    for name, share in value.items():
        if name not in FAULTS or FAULTS[name].kind not in CHANCED:
            message = f"{where}: {name} is no count, switch or condition, so it has no chance"
            raise FaultsFileError(message)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            message = f"{where}: the chance of {name} is {share!r}, allowed is 0 to 1"
            raise FaultsFileError(message)
    return {name: float(share) for name, share in value.items() if share}
