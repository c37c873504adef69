"""Records of any format are read: what they state, and at which level."""

import json

import pytest

from entrypoint.diagnosis.records import DEPTH, RECORD_CHARACTERS, LogRecord, parse_record, unescape


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"message": "a", "levelname": "ERROR"}', LogRecord("a", "ERROR")),
        ('{"msg": "a", "lvl": "warn", "pid": 7}', LogRecord("a", "WARNING", "", "7")),
        ('{"event": "a", "level": "fatal"}', LogRecord("a", "CRITICAL")),
        ('{"log": {"level": "error"}, "message": "a"}', LogRecord("a", "ERROR")),
        ('{"severity": "Error", "jsonPayload": {"message": "a"}}', LogRecord("a", "ERROR")),
        ('{"log": "a\\n", "stream": "stderr"}', LogRecord("a\n")),
        ('{"x": "some longer text", "y": "ERROR"}', LogRecord("some longer text", "ERROR")),
        ("{'event': 'a', 'level': 'info'}", LogRecord("a", "INFO")),
        ("level=error msg=a pid=7", LogRecord("a", "ERROR", "", "7")),
        ('level=error msg="a \\"b\\" c"', LogRecord('a "b" c', "ERROR")),
        ("time='1' level='error' event='it\\'s'", LogRecord("it's", "ERROR")),
        (
            '{"message": "a", "processName": "Core", "process": 7}',
            LogRecord("a", "", "Core", "7"),
        ),
        (
            '{"message": "a", "error": {"type": "x.OtherError", "message": "b"}}',
            LogRecord("a\nTraceback (most recent call last):\nx.OtherError: b"),
        ),
    ],
)
def test_a_record_states_its_message_and_level(line: str, expected: LogRecord) -> None:
    assert parse_record(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "text",
        "[1, 2]",
        '{"a": 1}',
        '{"message": ',
        "{" * 20_000,
        "a = 1",
        "x=1",
        "--max-model-len=1 --dtype=half",
        "{'a': " + "[" * 5000,
        "model='x', dtype=float16",
    ],
)
def test_text_for_people_is_no_record(line: str) -> None:
    assert parse_record(line) is None


def test_a_traceback_that_the_message_has_too_is_not_repeated() -> None:
    stack = 'Traceback (most recent call last):\n  File "a.py", line 1, in a\nValueError: b'
    record = parse_record(json.dumps({"message": f"failed\n{stack}", "exc_info": stack}))
    assert record is not None
    assert record.text.count("ValueError") == 1


def test_a_record_that_is_too_deep_or_too_long_is_read_in_part() -> None:
    deep = '{"a": ' * (DEPTH + 3) + '"x"' + "}" * (DEPTH + 3)
    record = parse_record(f'{{"message": "m", "more": {deep}}}')
    assert record == LogRecord("m")
    assert parse_record('{"message": "' + "x" * RECORD_CHARACTERS + '"}') is None


@pytest.mark.parametrize(
    ("escaped", "text"),
    [("a\\nb", "a\nb"), ('\\"a\\"', '"a"'), ("\\\\n", "\\n"), ("\\u00e9", "é"), ("a\\", "a\\")],
)
def test_escapes_are_replaced(escaped: str, text: str) -> None:
    assert unescape(escaped) == text
