"""One value: what is removed, what is refused, and what the words say, by kind."""

import pytest

from entrypoint.environment.value import SECRET, Kind, clean_value

SAMPLES = {
    Kind.WORD: "8000",
    Kind.MODEL: "meta-llama/Llama-2",
    Kind.NAME: "release-1",
    Kind.PATH: "/data/hub",
    Kind.TOKEN: "hf_abcdefgh",
    Kind.KEY: "key-4711-abc",
    Kind.ARG: "--dtype auto",
    Kind.OTHER: "http://proxy:3128",
}
SINGLE = [kind for kind in Kind if kind is not Kind.ARG]
"""Kinds whose value is not split into words."""


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("edge", ["\n", "\r\n", "\r", " ", "\t", "\n\n  "])
def test_blanks_and_line_breaks_at_the_edges_are_removed(kind: Kind, edge: str) -> None:
    for value in (SAMPLES[kind] + edge, edge + SAMPLES[kind], edge + SAMPLES[kind] + edge):
        clean = clean_value("NAME", value, kind)
        assert clean.text == SAMPLES[kind]
        assert clean.problem is None
        (note,) = clean.notes
        assert note.message.startswith("NAME has ")
        assert SAMPLES[kind] not in note.message


@pytest.mark.parametrize("kind", Kind)
def test_a_plain_value_is_not_changed(kind: Kind) -> None:
    clean = clean_value("NAME", SAMPLES[kind], kind)
    assert (clean.text, clean.notes, clean.problem) == (SAMPLES[kind], (), None)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.KEY])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_around_a_value_are_removed_with_a_note(kind: Kind, quote: str) -> None:
    clean = clean_value("NAME", f"{quote}{SAMPLES[kind]}{quote}\r", kind)
    assert clean.text == SAMPLES[kind]
    assert clean.problem is None
    assert "quotes" in clean.notes[-1].message


def test_quotes_around_a_key_are_refused_because_they_could_belong_to_it() -> None:
    problem = clean_value("API_KEY", '"key-4711"', Kind.KEY).problem
    assert problem is not None
    assert "enclosed in quotes" in problem.message
    assert "key-4711" not in problem.in_words()
    assert "API_KEY_FILE" in str(problem.hint)


def test_a_key_of_blanks_is_refused_because_it_would_leave_the_server_open() -> None:
    assert clean_value("API_KEY", " \n", Kind.KEY).problem is not None
    assert clean_value("MODEL_ID", " \n", Kind.MODEL).text == ""


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\ufeff", "U+FEFF"),
        ("\u00a0", "U+00A0"),
        ("\u200b", "U+200B"),
        ("\u202e", "U+202E"),
        ("\x1b", "U+001B"),
        ("\x08", "U+0008"),
        ("\x85", "U+0085"),
        ("\udcff", "0xFF"),
    ],
)
def test_an_invisible_character_is_named_with_its_place(
    kind: Kind, character: str, name: str
) -> None:
    sample = SAMPLES[kind]
    for position in (0, 3, len(sample)):
        value = sample[:position] + character + sample[position:]
        problem = clean_value("NAME", value, kind).problem
        assert problem is not None
        assert problem.variable == "NAME"
        assert name in problem.message
        assert f"at character {position + 1}" in problem.message
        shown = problem.in_words()
        if kind in SECRET:
            assert sample not in shown
        elif character not in "\udcff\u00a0\x85":
            assert f"Set NAME to: {sample}" in shown


@pytest.mark.parametrize("kind", [Kind.WORD, Kind.MODEL, Kind.NAME, Kind.TOKEN, Kind.KEY])
@pytest.mark.parametrize("character", ["\u201c", "\u2019", "\u2013", "\u2011", "\uff21"])
def test_a_character_that_looks_like_ascii_is_refused(kind: Kind, character: str) -> None:
    problem = clean_value("NAME", f"ab{character}cd", kind).problem
    assert problem is not None
    assert "at character 3" in problem.message


@pytest.mark.parametrize(("kind", "value"), [
    (Kind.PATH, "/data/l\u2019été \u2013 2"),
    (Kind.MODEL, "/data/l\u2019été"),
    (Kind.OTHER, "a\u2013b"),
])  # fmt: skip
def test_a_visible_character_in_a_path_gets_a_warning(kind: Kind, value: str) -> None:
    clean = clean_value("NAME", value, kind)
    assert clean.text == value
    assert clean.problem is None
    (note,) = clean.notes
    assert note.level == "warning"
    assert "at character" in note.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.PATH, "/data/große modelle/模型"),
        (Kind.NAME, "modèle-模型"),
        (Kind.MODEL, "./größe"),
        (Kind.KEY, "p@ss w\"o'rd\\$x{y}schlüssel"),
        (Kind.ARG, '--x \'{"a": 1}\'\n--chat-template "{{ x }}"'),
        (Kind.OTHER, '{"type": "service_account",\n"private_key": "x\\n"}\n'.strip()),
        (Kind.OTHER, "none"),
        (Kind.OTHER, "$ORIGIN/lib:${X}/lib"),
    ],
)
def test_odd_values_that_can_be_meant_are_left_alone(kind: Kind, value: str) -> None:
    clean = clean_value("NAME", value, kind)
    assert (clean.text, clean.notes, clean.problem) == (value, (), None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", ["${TOKEN}", "$(TOKEN)", "$TOKEN", "{{ .Values.x }}", "%X%"])
def test_a_variable_that_was_not_substituted_is_refused(kind: Kind, value: str) -> None:
    problem = clean_value("NAME", value, kind).problem
    assert problem is not None
    assert "not replaced by its value" in problem.message


@pytest.mark.parametrize("value", ["${HOME}/models", "$(ROOT)/m", "$HOME/m"])
def test_a_path_with_a_variable_is_refused(value: str) -> None:
    assert clean_value("NAME", value, Kind.PATH).problem is not None
    assert clean_value("NAME", value, Kind.MODEL).problem is not None


@pytest.mark.parametrize("kind", [Kind.WORD, Kind.MODEL, Kind.NAME, Kind.PATH, *SECRET])
@pytest.mark.parametrize("value", ["none", "None", "null", "undefined", "<your-value>"])
def test_a_word_of_a_template_is_refused(kind: Kind, value: str) -> None:
    problem = clean_value("NAME", value, kind).problem
    assert problem is not None
    assert "NAME" in str(problem.hint)


@pytest.mark.parametrize("kind", SECRET)
@pytest.mark.parametrize(
    "value",
    ["***", "changeme", "CHANGE_ME", "your-token", "your_api_key_here", "hf_xxxx", "hf_...", "xxx"],
)
def test_a_placeholder_is_not_a_secret(kind: Kind, value: str) -> None:
    problem = clean_value("NAME", value, kind).problem
    assert problem is not None
    assert "placeholder" in problem.message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HF_TOKEN", "aGZfYWJjZGVmZ2g=", "is base64"),
        ("AWS_ACCESS_KEY_ID", "QUtJQUlPU0ZPRE5O", "is base64"),
        ("HF_TOKEN", "Bearer hf_abc", "starts with Bearer"),
        ("HF_TOKEN", "HF_TOKEN=hf_abc", "repeats the variable's name"),
        ("HF_TOKEN", "hf_abc hf_def", "contains a blank"),
        ("HF_TOKEN", "hf_abc\nhf_def", "LINE FEED (U+000A) at character 7"),
    ],
)
def test_an_error_says_what_is_wrong_with_a_secret_and_hides_it(
    name: str, value: str, words: str
) -> None:
    problem = clean_value(name, value, Kind.TOKEN).problem
    assert problem is not None
    assert words in problem.message
    assert value not in problem.in_words()


def test_two_keys_in_one_variable_are_refused() -> None:
    problem = clean_value("API_KEY", "key-1\nkey-2", Kind.KEY).problem
    assert problem is not None
    assert "API_KEY_FILE" in str(problem.hint)


def test_a_key_that_is_the_base64_of_a_text_gets_a_warning() -> None:
    (note,) = clean_value("API_KEY", "c2VjcmV0LWtleS0xMjM0NTY3", Kind.KEY).notes
    assert "base64" in note.message
    assert clean_value("API_KEY", "q83vEjRWeJq83vEjRWeJqw==", Kind.KEY).notes == ()


@pytest.mark.parametrize(
    ("value", "meant"),
    [("8000 # the port", "8000"), ('"8000" # the port', "8000")],
)
def test_a_comment_is_refused_with_the_value_before_it(value: str, meant: str) -> None:
    problem = clean_value("PORT", value, Kind.WORD).problem
    assert problem is not None
    assert problem.in_words().endswith(f"Set PORT to: {meant}")


def test_a_long_value_is_shortened() -> None:
    problem = clean_value("MODEL_ID", "a" * 5000 + "\u200b", Kind.MODEL).problem
    assert problem is not None
    assert len(problem.message) < 300
