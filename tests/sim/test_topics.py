import pytest

from engine.sim.topics import Command, parse_command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("utr", Command(topic="utr", target="", arguments={})),
        ("sor+{}", Command(topic="sor", target="", arguments={})),
        ("umh+123", Command(topic="umh", target="123", arguments={})),
        (
            'smd+265598+{"fields":["31","84"]}',
            Command(topic="smd", target="265598", arguments={"fields": ["31", "84"]}),
        ),
        (
            'smd+265598@ARCA+{"fields":["3+1"]}',
            Command(topic="smd", target="265598@ARCA", arguments={"fields": ["3+1"]}),
        ),
        (
            'ssd+DU1+{"keys":["A-S"],"fields":[]}',
            Command(topic="ssd", target="DU1", arguments={"keys": ["A-S"], "fields": []}),
        ),
    ],
)
def test_a_frame_is_topic_target_and_arguments(text: str, command: Command) -> None:
    assert parse_command(text) == command


@pytest.mark.parametrize("text", ["sor+{", 'smd+1+{"fields":', 'smd+1+{"a":1}x'])
def test_broken_arguments_make_no_command(text: str) -> None:
    assert parse_command(text) is None
