import re
from pathlib import Path

import pytest

from engine.sim import Faults, FaultsFileError, load_faults


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
        ("mute_sor: true\nhang: 1\n", "line 2: hang is no fault; known are advanced_reject_next, "),
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
