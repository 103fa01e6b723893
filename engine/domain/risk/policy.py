"""The risk policy: defaults, groups and accounts, and how they become one account's limits.

Rule 1: `defaults` replace the built-in values. Groups and accounts only tighten: what is
looser than the level above is an error, unless the level says `override`, with a reason
and a name.

Rule 2: of several groups the strictest wins, value by value. `broker_messages.default`
speaks for the questions that no level lists.

Rule 3: an account that the policy does not list gets the `defaults`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

from engine.domain.risk.limits import (
    BUILT_IN_SETTINGS,
    FALLBACKS,
    Limits,
    Setting,
    family,
    format_value,
    is_looser,
    lookup,
    make_limits,
    stricter,
)
from engine.domain.values import AccountId

HASH_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody's word that a level may be looser than the one above."""

    reason: str
    approved_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What one entry of `groups` or `accounts` says; `groups` is for accounts only."""

    settings: Mapping[str, Setting] = field(default_factory=dict)
    override: Override | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProblem:
    """Why a policy cannot be used, and the path of the entry that is wrong."""

    path: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that another policy changes. `account` is None for accounts not listed."""

    account: AccountId | None
    name: str
    old: Setting
    new: Setting
    loosens: bool

    def __str__(self) -> str:
        what = "loosened" if self.loosens else "tightened"
        return (
            f"{self.account or 'defaults'} {self.name} {what} from"
            f" {format_value(self.old.value)} to {format_value(self.new.value)}"
            f" ({self.new.source})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPolicy:
    """One version of the risk file. Use it only when `problems()` is empty."""

    version: int
    approved_by: tuple[str, ...] = ()
    defaults: Mapping[str, Setting] = field(default_factory=dict)
    groups: Mapping[str, Level] = field(default_factory=dict)
    accounts: Mapping[AccountId, Level] = field(default_factory=dict)
    policy_hash: str = field(init=False, compare=False)
    """The digest of what the policy says; comments, order and lines do not matter."""

    def __post_init__(self) -> None:
        # Once: every account's limits carry it, and there may be thousands of accounts.
        digest = hashlib.sha256("\n".join(self._canonical_lines()).encode())
        object.__setattr__(self, "policy_hash", digest.hexdigest()[:HASH_CHARACTERS])

    def problems(self) -> tuple[PolicyProblem, ...]:
        """Return every unknown group, and everything looser than the level above."""
        found: list[PolicyProblem] = []
        base = self._base()
        for name, level in self.groups.items():
            found += _loosenings(("groups", name), level, base)
        for account, level in self.accounts.items():
            path = ("accounts", account)
            unknown = [name for name in level.groups if name not in self.groups]
            found += [self._unknown_group(path, name) for name in unknown]
            if not unknown:
                found += _loosenings(path, level, self._merge_groups(base, level.groups))
        return tuple(found)

    def limits_for(self, account: AccountId) -> Limits:
        """Return the limits of an account; one that is not listed gets the defaults."""
        return make_limits(
            account,
            groups=self.accounts[account].groups if account in self.accounts else (),
            version=self.version,
            policy_hash=self.policy_hash,
            settings=self.effective(account),
        )

    def effective(self, account: AccountId | None) -> dict[str, Setting]:
        """Return every merged value; None is an account that is not listed."""
        base = self._base()
        if account is None or account not in self.accounts:
            return base
        level = self.accounts[account]
        return {**self._merge_groups(base, level.groups), **level.settings}

    def _base(self) -> dict[str, Setting]:
        return {**BUILT_IN_SETTINGS, **self.defaults}

    def _merge_groups(
        self, base: Mapping[str, Setting], names: tuple[str, ...]
    ) -> dict[str, Setting]:
        merged = dict(base)
        groups = [self.groups[name] for name in names]
        for name in {name: None for group in groups for name in group.settings}:
            said = [_said_by(group, name, base) for group in groups]
            merged[name] = reduce(stricter, [setting for setting in said if setting is not None])
        return merged

    def _unknown_group(self, path: tuple[str, ...], name: str) -> PolicyProblem:
        known = ", ".join(sorted(self.groups)) or "none"
        message = f"found the group {name!r}, known groups: {known}"
        return PolicyProblem(path=(*path, "groups"), message=message)

    def _canonical_lines(self) -> Iterator[str]:
        yield f"version {self.version}"
        yield from _setting_lines("defaults", self._base())
        for kind, levels in (("groups", self.groups), ("accounts", self.accounts)):
            for name, level in sorted(levels.items()):
                # Length first: no name can look like the lines of two others.
                yield f"{kind} {len(name)} {name} {sorted(level.groups)} {level.override!r}"
                yield from _setting_lines("", level.settings)


def policy_changes(old: RiskPolicy, new: RiskPolicy) -> tuple[Change, ...]:
    """Return every effective value that differs, account by account.

    A change of the defaults is listed once for the accounts that are not listed, and
    again for each listed account that it reaches.
    """
    accounts: list[AccountId | None] = [None, *sorted({**old.accounts, **new.accounts})]
    found: list[Change] = []
    for account in accounts:
        before, after = old.effective(account), new.effective(account)
        for name in sorted({**before, **after}):
            was, now = lookup(before, name), lookup(after, name)
            assert was is not None, name
            assert now is not None, name
            if was.value != now.value:
                loosens = is_looser(now.value, was.value)
                found.append(Change(account=account, name=name, old=was, new=now, loosens=loosens))
    return tuple(found)


def reload_refusal(old: RiskPolicy, new: RiskPolicy, changes: tuple[Change, ...]) -> str | None:
    """Return why `new` may not replace `old`, or None. Tightening needs nobody's word."""
    loosened = [change for change in changes if change.loosens]
    if not loosened:
        return None
    needs = []
    if new.version <= old.version:
        needs.append(f"a version above {old.version} (found {new.version})")
    if not new.approved_by:
        needs.append("a name in approved_by (found none)")
    if not needs:
        return None
    more = f" and {len(loosened) - 1} more" if len(loosened) > 1 else ""
    return f"loosens limits, which needs {' and '.join(needs)}: {loosened[0]}{more}"


def _said_by(group: Level, name: str, base: Mapping[str, Setting]) -> Setting | None:
    """Return what a group says of `name`; its fallback counts where the base lists nothing."""
    setting = group.settings.get(name)
    if setting is None and name not in base:
        setting = group.settings.get(FALLBACKS[family(name)])
    return setting


def _loosenings(
    path: tuple[str, ...], level: Level, base: Mapping[str, Setting]
) -> Iterator[PolicyProblem]:
    if level.override is not None:
        return
    for name, setting in level.settings.items():
        above = lookup(base, name)
        assert above is not None, f"{name} has no built-in value"
        if is_looser(setting.value, above.value):
            yield PolicyProblem(
                path=(*path, *name.split(".")),
                message=(
                    f"found {format_value(setting.value)} ({setting.source}), looser than"
                    f" {format_value(above.value)} ({above.source}); needs a tighter value,"
                    " or override: true with override_reason and approved_by"
                ),
            )


def _setting_lines(prefix: str, settings: Mapping[str, Setting]) -> Iterator[str]:
    for name, setting in sorted(settings.items()):
        yield f"{prefix} {name}={format_value(setting.value)}"
