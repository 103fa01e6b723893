"""How defaults, groups and accounts become limits, and what may change in a new version."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.risk import (
    Change,
    Level,
    Override,
    PolicyProblem,
    RiskPolicy,
    policy_changes,
    reload_refusal,
)
from engine.domain.risk.limits import BUILT_IN_SETTINGS, LimitValue, is_looser, lookup
from engine.domain.values import AccountId, Answer, MessageId, TradingState
from tests.domain.risk.samples import setting, settings

ONE = AccountId("DU1")
OTHER = AccountId("DU2")
NOTIONAL = "order.max_notional.abs"
WORD = Override(reason="desk mandate", approved_by=("cro",))


def policy(
    *,
    version: int = 1,
    approved_by: tuple[str, ...] = (),
    defaults: dict[str, LimitValue | int] | None = None,
    groups: dict[str, Level] | None = None,
    account: Level | None = None,
) -> RiskPolicy:
    return RiskPolicy(
        version=version,
        approved_by=approved_by,
        defaults=settings(defaults or {}),
        groups=groups or {},
        accounts={} if account is None else {ONE: account},
    )


def level(
    name: str, value: LimitValue | int, line: int, *, override: Override | None = None
) -> Level:
    return Level(settings={name: setting(value, f"risk.yaml:{line}")}, override=override)


def test_a_silent_policy_has_the_built_in_limits() -> None:
    limits = policy().limits_for(ONE)

    assert limits.settings == BUILT_IN_SETTINGS
    assert limits.working_max_per_conid_side.value <= 15


def test_defaults_replace_the_built_in_values_even_by_looser_ones() -> None:
    found = policy(defaults={NOTIONAL: 70_000})

    assert found.problems() == ()
    assert found.effective(None)[NOTIONAL] == setting(70_000, "risk.yaml:1")


def test_an_account_that_is_not_listed_gets_the_defaults() -> None:
    found = policy(defaults={NOTIONAL: 70_000}, account=level(NOTIONAL, 5, 9))

    assert found.limits_for(OTHER).order_max_notional.value == 70_000
    assert found.limits_for(OTHER).groups == ()
    assert found.limits_for(ONE).order_max_notional.value == 5


def test_the_strictest_group_wins_value_by_value() -> None:
    found = policy(
        defaults={NOTIONAL: 100, "position.max_qty": 100},
        groups={
            "a": Level(settings=settings({NOTIONAL: 50, "position.max_qty": 20})),
            "b": Level(settings=settings({NOTIONAL: 40, "position.max_qty": 30})),
        },
        account=Level(groups=("a", "b")),
    )

    limits = found.limits_for(ONE)

    assert limits.groups == ("a", "b")
    assert limits.order_max_notional.value == 40
    assert limits.position_max_qty.value == 20


@pytest.mark.parametrize(
    ("name", "above", "looser", "shown"),
    [
        (NOTIONAL, 100, 101, ("101", "100")),
        ("order.max_qty.STK", 100, 101, ("101", "100")),
        ("trading_state", TradingState.HALT, TradingState.NORMAL, ("normal", "halt")),
        ("broker_messages.o354", Answer.DECLINE, Answer.ACCEPT, ("accept", "decline")),
        (
            "instruments.allow_sec_types",
            frozenset({"STK"}),
            frozenset({"STK", "OPT"}),
            ("[OPT, STK]", "[STK]"),
        ),
    ],
)
def test_a_looser_level_is_a_problem_that_names_both_lines(
    name: str, above: LimitValue | int, looser: LimitValue | int, shown: tuple[str, str]
) -> None:
    problem = PolicyProblem(
        path=("groups", "desk", *name.split(".")),
        message=(
            f"found {shown[0]} (risk.yaml:7), looser than {shown[1]} (risk.yaml:1); needs a"
            " tighter value, or override: true with override_reason and approved_by"
        ),
    )
    desk = level(name, looser, 7)

    assert policy(defaults={name: above}, groups={"desk": desk}).problems() == (problem,)
    assert policy(defaults={name: above}, account=desk).problems() == (
        replace(problem, path=("accounts", ONE, *name.split("."))),
    )


def test_an_account_may_not_be_looser_than_its_groups() -> None:
    found = policy(
        defaults={NOTIONAL: 100},
        groups={"desk": level(NOTIONAL, 50, 5)},
        account=replace(level(NOTIONAL, 60, 9), groups=("desk",)),
    )

    (problem,) = found.problems()

    assert "found 60 (risk.yaml:9), looser than 50 (risk.yaml:5)" in problem.message


def test_what_the_built_in_value_forbids_needs_a_default_first() -> None:
    found = policy(groups={"futures": level("order.max_qty.FUT", 40, 3)})

    (problem,) = found.problems()

    assert "found 40 (risk.yaml:3), looser than 1 (built-in)" in problem.message


def test_an_override_may_be_looser() -> None:
    found = policy(
        defaults={NOTIONAL: 100},
        groups={"desk": level(NOTIONAL, 500, 5, override=WORD)},
        account=Level(groups=("desk",)),
    )

    assert found.problems() == ()
    assert found.limits_for(ONE).order_max_notional.value == 500


def test_an_account_overrides_its_groups_and_tightens_after_an_override() -> None:
    groups = {"desk": level(NOTIONAL, 500, 5, override=WORD)}
    looser = replace(level(NOTIONAL, 900, 9, override=WORD), groups=("desk",))
    tighter = replace(level(NOTIONAL, 400, 9), groups=("desk",))

    assert policy(groups=groups, account=looser).problems() == ()
    assert policy(groups=groups, account=looser).effective(ONE)[NOTIONAL].value == 900
    assert policy(groups=groups, account=tighter).problems() == ()
    assert policy(groups=groups, account=tighter).effective(ONE)[NOTIONAL].value == 400


def test_a_stricter_group_wins_over_one_with_an_override() -> None:
    found = policy(
        defaults={NOTIONAL: 100},
        groups={"a": level(NOTIONAL, 500, 5, override=WORD), "b": level(NOTIONAL, 90, 7)},
        account=Level(groups=("a", "b")),
    )

    assert found.effective(ONE)[NOTIONAL] == setting(90, "risk.yaml:7")


def test_lists_of_several_groups_give_what_all_allow() -> None:
    name = "instruments.allow_sec_types"
    found = policy(
        defaults={name: frozenset({"STK", "OPT", "FUT"})},
        groups={
            "a": level(name, frozenset({"STK", "OPT"}), 5),
            "b": level(name, frozenset({"STK", "FUT"}), 7),
        },
        account=Level(groups=("a", "b")),
    )

    assert found.effective(ONE)[name] == setting(frozenset({"STK"}), "risk.yaml:5, risk.yaml:7")


def test_a_groups_default_answer_speaks_for_questions_that_no_default_lists() -> None:
    found = policy(
        defaults={"broker_messages.default": Answer.ACCEPT, "broker_messages.o163": Answer.ACCEPT},
        groups={
            "careful": level("broker_messages.default", Answer.DECLINE, 5),
            "busy": level("broker_messages.o354", Answer.ACCEPT, 7),
        },
        account=Level(groups=("careful", "busy")),
    )

    assert found.problems() == ()
    questions = found.limits_for(ONE).questions
    assert questions.default is Answer.DECLINE
    assert questions.answers == {
        MessageId("o163"): Answer.ACCEPT,
        MessageId("o354"): Answer.DECLINE,
    }


def test_an_account_may_not_accept_what_its_groups_default_declines() -> None:
    found = policy(
        defaults={"broker_messages.default": Answer.ACCEPT},
        groups={"careful": level("broker_messages.default", Answer.DECLINE, 5)},
        account=replace(level("broker_messages.o354", Answer.ACCEPT, 9), groups=("careful",)),
    )

    (problem,) = found.problems()

    assert problem.path == ("accounts", ONE, "broker_messages", "o354")


def test_an_unknown_group_is_a_problem() -> None:
    groups = {"desk": Level()}

    assert policy(account=Level(groups=("dsek",))).problems() == (
        PolicyProblem(
            path=("accounts", ONE, "groups"), message="found the group 'dsek', known groups: none"
        ),
    )
    (problem,) = policy(groups=groups, account=Level(groups=("desk", "x"))).problems()
    assert problem.message == "found the group 'x', known groups: desk"


def test_the_hash_follows_what_the_policy_says_and_not_where() -> None:
    one = policy(defaults={NOTIONAL: 100}, account=level(NOTIONAL, 5, 9))
    moved = policy(defaults={NOTIONAL: Decimal("100.0")}, account=level(NOTIONAL, 5, 99))
    reordered = replace(one, accounts={OTHER: Level(), **one.accounts})
    back = replace(one, accounts={**one.accounts, OTHER: Level()})

    assert one.policy_hash == moved.policy_hash
    assert reordered.policy_hash == back.policy_hash
    assert len(one.policy_hash) == 12
    different = {
        one.policy_hash,
        reordered.policy_hash,
        replace(one, version=2).policy_hash,
        policy(defaults={NOTIONAL: 101}, account=level(NOTIONAL, 5, 9)).policy_hash,
        policy(defaults={NOTIONAL: 100}, account=level(NOTIONAL, 5, 9, override=WORD)).policy_hash,
    }
    assert len(different) == 5


def test_a_decision_carries_the_hash_of_the_whole_policy() -> None:
    found = policy(account=level(NOTIONAL, 5, 9))

    assert found.limits_for(ONE).policy_hash == found.policy_hash
    assert found.limits_for(OTHER).policy_hash == found.policy_hash


def test_changes_are_listed_for_the_defaults_and_every_listed_account() -> None:
    old = policy(defaults={NOTIONAL: 100}, account=level("position.max_qty", 50, 9))
    new = policy(defaults={NOTIONAL: 90}, account=level("position.max_qty", 60, 9))

    changes = policy_changes(old, new)

    was, now = setting(100), setting(90)
    assert changes == (
        Change(account=None, name=NOTIONAL, old=was, new=now, loosens=False),
        Change(account=ONE, name=NOTIONAL, old=was, new=now, loosens=False),
        Change(
            account=ONE,
            name="position.max_qty",
            old=setting(50, "risk.yaml:9"),
            new=setting(60, "risk.yaml:9"),
            loosens=True,
        ),
    )
    assert [str(change) for change in changes] == [
        "defaults order.max_notional.abs tightened from 100 to 90 (risk.yaml:1)",
        "DU1 order.max_notional.abs tightened from 100 to 90 (risk.yaml:1)",
        "DU1 position.max_qty loosened from 50 to 60 (risk.yaml:9)",
    ]


def test_the_same_values_on_other_lines_are_no_change() -> None:
    old = policy(account=level(NOTIONAL, 5, 9))
    new = policy(version=2, account=level(NOTIONAL, 5, 10))

    assert policy_changes(old, new) == ()


def test_dropping_an_account_from_the_file_changes_it_to_the_defaults() -> None:
    old = policy(defaults={NOTIONAL: 100}, account=level(NOTIONAL, 5, 9))

    (change,) = policy_changes(old, policy(defaults={NOTIONAL: 100}))

    assert change.loosens
    assert (change.account, change.new) == (ONE, setting(100))


def test_leaving_a_group_can_loosen() -> None:
    groups = {"desk": level(NOTIONAL, 50, 5)}
    old = policy(groups=groups, account=Level(groups=("desk",)))

    (change,) = policy_changes(old, policy(groups=groups, account=Level()))

    assert change.loosens


def test_a_question_that_becomes_listed_is_compared_with_the_default() -> None:
    old = policy()

    (change,) = policy_changes(old, policy(defaults={"broker_messages.o354": Answer.ACCEPT}))

    assert change.old == setting(Answer.DECLINE, "built-in")
    assert change.loosens


def test_another_currency_loosens() -> None:
    (change,) = policy_changes(policy(), policy(defaults={"units.notional_ccy": "JPY"}))

    assert change.loosens


@pytest.mark.parametrize(
    ("version", "approved_by", "refusal"),
    [
        (2, ("cro",), None),
        (1, ("cro",), "a version above 1 (found 1)"),
        (2, (), "a name in approved_by (found none)"),
        (1, (), "a version above 1 (found 1) and a name in approved_by (found none)"),
    ],
)
def test_loosening_needs_a_higher_version_and_a_name(
    version: int, approved_by: tuple[str, ...], refusal: str | None
) -> None:
    old = policy(defaults={NOTIONAL: 100})
    new = policy(version=version, approved_by=approved_by, defaults={NOTIONAL: 101})

    found = reload_refusal(old, new, policy_changes(old, new))

    if refusal is None:
        assert found is None
    else:
        assert found == (
            f"loosens limits, which needs {refusal}:"
            " defaults order.max_notional.abs loosened from 100 to 101 (risk.yaml:1)"
        )


def test_a_refusal_counts_what_else_is_loosened() -> None:
    old = policy(defaults={NOTIONAL: 100}, account=Level())
    new = policy(defaults={NOTIONAL: 101}, account=Level())

    found = reload_refusal(old, new, policy_changes(old, new))

    assert found is not None
    assert found.endswith("(risk.yaml:1) and 1 more")


def test_tightening_needs_nothing() -> None:
    old = policy(version=7, approved_by=("cro",), defaults={NOTIONAL: 100})
    new = policy(version=7, defaults={NOTIONAL: 99})

    assert reload_refusal(old, new, policy_changes(old, new)) is None


NAMES = {
    NOTIONAL: st.integers(1, 6).map(Decimal),
    "order.max_qty.STK": st.integers(1, 6).map(Decimal),
    "order.max_qty.FUT": st.integers(1, 6).map(Decimal),
    "trading_state": st.sampled_from(TradingState),
    "broker_messages.default": st.sampled_from(Answer),
    "broker_messages.o1": st.sampled_from(Answer),
    "broker_messages.o2": st.sampled_from(Answer),
    "instruments.allow_sec_types": st.frozensets(st.sampled_from(["STK", "OPT", "FUT"])),
}
SETTINGS = st.fixed_dictionaries({}, optional=NAMES).map(settings)
POLICIES = st.builds(
    lambda defaults, groups, account: RiskPolicy(
        version=1,
        defaults=defaults,
        groups={name: Level(settings=values) for name, values in zip("abc", groups, strict=True)},
        accounts={ONE: Level(settings=account, groups=("a", "b", "c"))},
    ),
    SETTINGS,
    st.tuples(SETTINGS, SETTINGS, SETTINGS),
    SETTINGS,
)


def without(level_: Level, name: str) -> Level:
    return replace(
        level_, settings={key: value for key, value in level_.settings.items() if key != name}
    )


def repaired(found: RiskPolicy) -> RiskPolicy:
    """Drop what is too loose until nothing is; a group's value may hold up an account's."""
    while problems := found.problems():
        kind, key, *parts = problems[0].path
        name = ".".join(parts)
        if kind == "groups":
            group = without(found.groups[key], name)
            found = replace(found, groups={**found.groups, key: group})
        else:
            found = replace(found, accounts={ONE: without(found.accounts[ONE], name)})
    return found


@given(POLICIES.map(repaired))
def test_without_overrides_no_level_is_ever_looser_than_one_above(found: RiskPolicy) -> None:
    merged, base = found.effective(ONE), found.effective(None)

    for name, value in merged.items():
        above = lookup(base, name)
        assert above is not None
        assert not is_looser(value.value, above.value)
        for group in found.groups.values():
            said = group.settings.get(name)
            assert said is None or not is_looser(value.value, said.value)


@given(POLICIES, POLICIES)
def test_changes_there_and_back_mirror_each_other(one: RiskPolicy, two: RiskPolicy) -> None:
    there = policy_changes(one, two)
    back = policy_changes(two, one)

    assert [(c.account, c.name, c.old, c.new) for c in there] == [
        (c.account, c.name, c.new, c.old) for c in back
    ]
    assert all(
        change.loosens or reverse.loosens for change, reverse in zip(there, back, strict=True)
    )
