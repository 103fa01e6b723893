import os
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from engine.sim import Faults, FaultsFileError, load_faults
from engine.sim.faults import CHANCED, FAULTS, PRESETS, SPELL_MS, Kind

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def written(folder: Path, text: str, name: str = "faults.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_counted_fault_strikes_as_often_as_it_was_told() -> None:
    faults = Faults(hang_next_order=2)

    struck = [faults.takes("hang_next_order") for _ in range(3)]

    assert struck == [True, True, False]
    assert faults.struck == {"hang_next_order": 2}


def test_true_counts_as_one() -> None:
    faults = Faults(hang_next_order=True)

    assert [faults.takes("hang_next_order") for _ in range(2)] == [True, False]


def test_a_text_strikes_once() -> None:
    faults = Faults(reject_next="no")

    assert [faults.takes_text("reject_next") for _ in range(2)] == ["no", None]


def test_a_file_sets_the_first_values(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "hang_next_order: 1\nreject_next: 'Not today.'  # once\nmute_sor: true\n"
        "penalty_box_s: 1.5\ndrop_response_bytes: 17\n",
    )

    assert load_faults(path) == Faults(
        hang_next_order=1,
        reject_next="Not today.",
        mute_sor=True,
        penalty_box_s=1.5,
        drop_response_bytes=17,
    )


def test_json_is_read_too_and_an_empty_file_has_no_faults(tmp_path: Path) -> None:
    path = written(tmp_path, '{"competing": true, "question_rounds": 3}', "faults.json")

    assert load_faults(path) == Faults(competing=True, question_rounds=3)
    assert load_faults(written(tmp_path, "")) == Faults()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mute_sor: true\nhang: 1\n",
            "line 2: hang is no fault; `engine sim faults list` shows all, near are ",
        ),
        ("mute_sor: 3\n", "line 1: mute_sor is 3, allowed is true or false"),
        ("question_rounds: -1\n", "line 1: question_rounds is -1, allowed is a whole number"),
        ("question_rounds: 1.5\n", "line 1: question_rounds is 1.5, allowed is a whole number"),
        ("reject_next: [a]\n", "line 1: reject_next is ['a'], allowed is a text or null"),
        ("mute_sor: true\nmute_sor: true\n", "line 2: mute_sor is given twice"),
        ("struck: {}\n", "line 1: struck is no fault"),
        ("- mute_sor\n", "must hold names and values"),
        ("a: [\n", "is neither YAML nor JSON"),
    ],
)
def test_a_bad_file_is_refused_with_line_value_and_what_is_allowed(
    tmp_path: Path, text: str, message: str
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(FaultsFileError, match=re.escape(message)):
        load_faults(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FaultsFileError, match="cannot be read: No such file"):
        load_faults(tmp_path / "none.yaml")


def test_faults_are_changed_all_at_once_or_not_at_all() -> None:
    faults = Faults(lose_sor=1)

    with pytest.raises(FaultsFileError, match="faults: lose_str is 'x', allowed is a whole number"):
        faults.change({"lose_sor": 7, "lose_str": "x"})
    faults.change({"mute_sor": True, "clock_skew_ms": -500})

    values = faults.values()
    assert (values["lose_sor"], values["mute_sor"], values["clock_skew_ms"]) == (1, True, -500)
    assert "struck" not in values


# --- Chances ---------------------------------------------------------------------------------


def strikes(faults: Faults, name: str, times: int) -> int:
    return sum(faults.takes(name) for _ in range(times))


def test_a_chance_strikes_about_as_often_as_it_says_and_the_same_for_the_same_seed() -> None:
    first, second, other = Faults(), Faults(), Faults()
    for faults, seed in ((first, "a"), (second, "a"), (other, "b")):
        faults.seed(seed)
        faults.change({"chances": {"lose_sor": 0.2}})

    struck = [[faults.takes("lose_sor") for _ in range(1000)] for faults in (first, second, other)]

    assert struck[0] == struck[1] != struck[2]
    assert 150 < sum(struck[0]) < 250
    assert first.struck == {"lose_sor": sum(struck[0])}


def test_a_count_comes_before_a_chance_and_a_chance_of_one_always_strikes() -> None:
    faults = Faults(lose_sor=2)
    faults.change({"lose_sor": "100%"})

    assert (strikes(faults, "lose_sor", 5), faults.lose_sor) == (5, 0)


def test_without_a_chance_nothing_is_drawn() -> None:
    faults, untouched = Faults(), Faults()
    for name, fault in FAULTS.items():
        if fault.kind is Kind.COUNT:
            faults.takes(name)
        elif fault.kind is Kind.SWITCH:
            faults.shows(name)
    faults.begin_spell(0)

    assert faults._chance.getstate() == untouched._chance.getstate()
    assert faults.struck == {}


def test_a_switch_may_be_drawn_each_time() -> None:
    faults = Faults()
    faults.change({"duplicate_sor": "50%"})

    shown = [faults.shows("duplicate_sor") for _ in range(100)]

    assert {True, False} == set(shown)
    assert faults.struck["duplicate_sor"] == sum(shown)


def test_a_condition_is_drawn_once_for_every_spell() -> None:
    faults = Faults()
    faults.change({"mute_sor": "50%"})

    held = []
    for spell in range(40):
        at_ms = spell * SPELL_MS
        of_this = set()
        for now_ms in (at_ms, at_ms + 5000, at_ms + SPELL_MS - 1):
            faults.begin_spell(now_ms)
            of_this.add(faults.holds("mute_sor"))
        [one] = of_this
        held.append(one)

    assert {True, False} == set(held)
    assert faults.struck["mute_sor"] == sum(held)


def test_a_condition_that_was_drawn_can_be_ended() -> None:
    faults = Faults()
    faults.change({"competing": "100%"})
    faults.begin_spell(0)

    before = faults.holds("competing")
    faults.end("competing")

    assert (before, faults.holds("competing")) == (True, False)


def test_chances_are_given_in_percent_or_as_a_table_and_taken_back(tmp_path: Path) -> None:
    text = "lose_sor: 5%\nchances:\n  mute_sor: 0.5\n  lose_str: 0.25\n"
    faults = load_faults(written(tmp_path, text))

    first = dict(faults.chances)
    faults.change({"lose_str": "0%"})
    second = dict(faults.chances)
    faults.clear()

    assert first == {"lose_sor": 0.05, "mute_sor": 0.5, "lose_str": 0.25}
    assert second == {"lose_sor": 0.05, "mute_sor": 0.5}
    assert faults.values() == Faults().values()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chances": {"lose_sor": 2}}, "the chance of lose_sor is 2, allowed is 0 to 1"),
        ({"chances": {"clock_skew_ms": 0.5}}, "clock_skew_ms is no count, switch or condition"),
        ({"chances": 1}, "chances is 1, allowed are names and numbers from 0 to 1"),
        ({"lose_sor": "120%"}, "lose_sor is '120%', allowed is a whole number, 0 or more, or a"),
        ({"clock_skew_ms": "5%"}, "clock_skew_ms is '5%', allowed is a whole number"),
        ({"hide_s": "5..1"}, "hide_s is '5..1', allowed is a number of seconds, 0 or more, or LOW"),
        ({"hide_s": -1}, "hide_s is -1, allowed is a number of seconds"),
    ],
)
def test_a_chance_or_a_span_that_is_none_is_refused(values: dict[str, Any], message: str) -> None:
    faults = Faults()

    with pytest.raises(FaultsFileError, match=re.escape(message)):
        faults.change(values)

    assert faults.values() == Faults().values()


def test_a_span_is_a_number_or_drawn_between_two() -> None:
    faults = Faults(hide_s=1.5, freeze_s="2..4")

    drawn = {faults.span_ms("freeze_s") for _ in range(50)}

    assert faults.span_ms("hide_s") == 1500
    assert len(drawn) > 10
    assert all(2000 <= ms <= 4000 for ms in drawn)


def test_a_name_that_is_no_fault_cannot_be_set() -> None:
    faults = Faults()

    with pytest.raises(AttributeError, match="lose_orders is no fault"):
        faults.lose_orders = 1


def test_a_bad_night_can_be_given_and_strikes_nothing_always() -> None:
    faults = Faults()

    faults.change(PRESETS["bad-night"])

    chances = PRESETS["bad-night"]["chances"]
    assert faults.chances == chances
    assert all(0 < share <= 0.1 for share in chances.values())
    assert all(FAULTS[name].kind in CHANCED for name in chances)


# --- What is said of them ----------------------------------------------------------------------


def test_every_fault_says_what_happens_and_what_the_broker_does() -> None:
    for fault in FAULTS.values():
        assert fault.what[0].isupper() or fault.what.startswith("`"), fault
        assert fault.real, fault
        assert not (fault.what + fault.real).endswith("."), fault


def documented() -> str:
    """The part of the documentation that is drawn from the table of faults."""
    lines = [BEGIN]
    for subject, faults in groupby(FAULTS.values(), key=lambda fault: fault.subject):
        lines += ["", f"### {subject}", "", "| Fault | Kind | What happens | The broker |"]
        lines.append("|---|---|---|---|")
        lines += [
            f"| `{row.name}` | {row.kind.value} | {row.what} | {row.real} |" for row in faults
        ]
    return "\n".join([*lines, "", END])


def test_the_documentation_shows_every_fault_as_it_is() -> None:
    """`UPDATE_DOCS=1 pytest tests/sim/test_faults.py` draws it anew."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    drawn = before + documented() + rest.partition(END)[2]

    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(drawn, encoding="utf-8")
    assert drawn == PAGE.read_text(encoding="utf-8")
