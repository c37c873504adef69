"""Where an option was written, in messages."""

from pathlib import Path

from entrypoint.options.source import ARG, line_of

LINE = line_of(Path("/etc/vllm.yaml"), 3)


def test_an_error_names_the_source_and_blames_the_variable() -> None:
    assert ARG.error("--x is wrong.").message == "ARG: --x is wrong."
    error = LINE.error("--x is wrong.", hint="Write --y.")
    assert error.message == "--config /etc/vllm.yaml, line 3: --x is wrong."
    assert (error.variable, error.hint) == ("ARG", "Write --y.")


def test_an_option_is_named_with_its_source() -> None:
    assert ARG.owned("--x 1") == "ARG's --x 1"
    assert LINE.owned("--x 1") == "--x 1 (--config /etc/vllm.yaml, line 3)"


def test_a_note_is_about_the_variable() -> None:
    note = LINE.note("info", "read.")
    assert (note.variable, note.message) == ("ARG", "--config /etc/vllm.yaml, line 3: read.")
