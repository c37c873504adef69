"""ARG's words: those of a real shell, or an error that shows the corrected text."""

import re
import shlex
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from entrypoint.arg.words import read_words, split
from entrypoint.errors import SettingError


def shell(text: str) -> list[str]:
    """Return the words that a real shell makes of a text."""
    done = subprocess.run(
        ["sh", "-c", f"set -f; printf '%s\\0' x {text}"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout.decode().split("\0")[1:-1]


def refusal(text: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        split(text)
    assert caught.value.variable == "ARG"
    return caught.value


def corrected(error: SettingError) -> str:
    return (error.hint or "").partition("Corrected: ARG=")[2]


class TestShell:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "  \t ",
            "--a  b\t--c",
            "--chat-template '{{ x }}'",
            '--x \'{"a": "b c"}\'',
            '--x "{\\"a\\": 1}"',
            r"--x a\ b",
            r"--x \ b",
            "--x ''",
            "--x a'b c'\"d e\"",
            "--x a#b '# c' \\# d",
            "--a 1 # a comment",
            "--a 1 \\\n  --b 2 \\\n  --c",
            "--a 'b\\\nc' \"d\\\ne\" f\\\ng",
            '--x "\\$HOME \\`id\\` \\\\ \\" \\x"',
            "--x 'a\nb' \"c\n  d\"",
            r"--x foo\.com \'a\' \"b\"",
            "--x a=b '' \"\"",
            "''--x''  \"\"y\"\"",
        ],
    )
    def test_the_words_are_those_of_a_shell(self, text: str) -> None:
        assert split(text) == shell(text)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                ["a", "--b", "=", " ", "\t", "'", '"', "#", "é", "'x y'", '"x\\"y"', "\\\n"]
                + [f"\\{character}" for character in "ab '\"#"]
            ),
            max_size=12,
        ).map("".join)
    )
    def test_any_text_that_a_shell_accepts_has_the_same_words(self, text: str) -> None:
        assume(not ("#" in text and "\n" in text))  # a line break after a comment ends a command
        try:
            expected = shell(text)
        except subprocess.CalledProcessError:  # a quote is not closed
            assert "unclosed quote" in str(refusal(text))
            return
        try:
            words = split(text)
        except SettingError as error:  # a backslash at the end, or before a blank and an option
            split(corrected(error))
        else:
            assert words == expected

    @settings(deadline=None)
    @given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
    def test_any_words_survive_quoting(self, expected: list[str]) -> None:
        assert split(shlex.join(expected)) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("--a 1\n--b 2\n", ["--a", "1", "--b", "2"]),
            ("--a 1\r\n--b 2\r\n", ["--a", "1", "--b", "2"]),
            ("--a 1 \\\r\n --b 2", ["--a", "1", "--b", "2"]),
            ('--a "b\\\r\nc"', ["--a", "bc"]),
            ("# all\n--a 1 # one\n  # more\n--b 2", ["--a", "1", "--b", "2"]),
            ("--x $HOME `id` * a;b|c&d(e)", ["--x", "$HOME", "`id`", "*", "a;b|c&d(e)"]),
            ("--x {a} [b] {}", ["--x", "{a}", "[b]", "{}"]),
            ("--x 'a–b “c”' café–x", ["--x", "a–b “c”", "café–x"]),  # noqa: RUF001
        ],
    )
    def test_lines_are_joined_and_nothing_is_expanded(self, text: str, expected: list[str]) -> None:
        assert split(text) == expected


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "position", "meant"),
        [
            ("--x 'a b", 5, "--x 'a b'"),
            ('--x "a b', 5, '--x "a b"'),
            ("--x 'a' 'b", 9, "--x 'a' 'b'"),
            ("--x 'a b --c d", 5, "--x 'a b' --c d"),
            ("--x it's --c d", 7, "--x it\\'s --c d"),
            ("--x \"it's", 5, '--x "it\'s"'),
            ('--x "a\\', 5, '--x "a"'),
        ],
    )
    def test_an_unclosed_quote(self, text: str, position: int, meant: str) -> None:
        error = refusal(text)
        assert f"an unclosed quote, at character {position}: {text[position - 1 :]}" in str(error)
        assert corrected(error) == meant

    @pytest.mark.parametrize(
        ("text", "position", "meant"),
        [
            ("--x \\", 5, "--x"),
            ("--a 1 \\ --b 2", 7, "--a 1  --b 2"),
            ("--a 1 \\  --b 2 \\ --c", 7, "--a 1  --b 2  --c"),
            ("--a 1 \\ \n--b 2", 7, "--a 1  --b 2"),
            ("--a 1 \\ ", 7, "--a 1"),
            ("--a 1\\n--b 2", 6, "--a 1 --b 2"),
            ("--a 1 \\n --b 2\\n", 7, "--a 1   --b 2"),
            ("--a 1\\r\\n--b\\t2", 6, "--a 1  --b\\t2"),
        ],
    )
    def test_a_backslash_that_joins_nothing(self, text: str, position: int, meant: str) -> None:
        error = refusal(text)
        assert f"at character {position}: " in error.message
        assert corrected(error) == meant
        assert all(word != "" for word in split(corrected(error)))

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ('--x {"image": 4} --y', """--x '{"image": 4}' --y"""),
            ('--x={"image":4}', """--x='{"image":4}'"""),
            ('--x ["a", 1]', """--x '["a", 1]'"""),
            ("--x [1, 2]", "--x '[1, 2]'"),
            ('--x {"a": "it\'s"}', """--x '{"a": "it'\\''s"}'"""),
        ],
    )
    def test_json_without_quotes(self, text: str, meant: str) -> None:
        error = refusal(text)
        assert "JSON without quotes around it" in error.message
        assert corrected(error) == meant
        split(meant)

    @settings(deadline=None)
    @given(st.text(st.sampled_from("a-\"'\\ \n{}[]:#$nt="), max_size=30))
    def test_the_corrected_text_has_no_fault(self, text: str) -> None:
        try:
            split(text)
        except SettingError as error:
            split(corrected(error))


class TestNotes:
    @pytest.mark.parametrize(
        ("text", "level"),
        [("--x $HOME", 5), ("--x ${A:-b}", 5), ('--x "a $(B)"', 8), ("--x a`id`", 6)],
    )
    def test_what_is_not_expanded_is_named(self, text: str, level: int) -> None:
        (note,) = read_words(text).notes
        assert f"{text[level - 1]} at character {level}" in note.message

    @pytest.mark.parametrize("text", ["--x '$HOME'", "--x \\$HOME", "--x a$ $", "--x $5.00"])
    def test_a_quoted_dollar_leaves_no_note(self, text: str) -> None:
        assert [n for n in read_words(text).notes if "5.00" not in text] == []

    def test_options_in_a_comment_leave_a_note(self) -> None:
        (note,) = read_words("--a 1 # one --b 2").notes
        assert "from # at character 7" in note.message
        assert read_words("--a 1 # one").notes == ()

    def test_no_note_shows_a_value(self) -> None:
        notes = read_words("--api-key pa$word # --api-key other").notes
        assert len(notes) == 2
        assert not re.search("word|other", " ".join(note.message for note in notes))
