"""What an environment asks for: the variables and ARG, read once."""

import pytest

from entrypoint.errors import SettingError
from entrypoint.planning.asked import read_asked
from tests.support.samples import asked


def test_arg_wins_over_variables() -> None:
    request = read_asked(
        {
            "MODEL_ID": "a/b",
            "TOKENIZER": "t/1",
            "DTYPE": "float16",
            "SHUTDOWN_TIMEOUT": "7",
            "ARG": "--model c/d --revision v2 --tokenizer t/2 --dtype bfloat16 "
            "--shutdown-timeout 9 --trust-remote-code",
        }
    )
    assert (request.model_id, request.revision, request.tokenizer) == ("c/d", "v2", "t/2")
    assert (request.dtype, request.shutdown_timeout) == ("bfloat16", 9)
    assert request.trust_remote_code


def test_nothing_is_required() -> None:
    """A download names its model on the command line, a health check needs none."""
    request = read_asked({})
    assert request.model_id is None
    assert request.listen.port == 8000


@pytest.mark.parametrize(
    ("variables", "trusted"),
    [
        ({}, False),
        ({"TRUST_REMOTE_CODE": "1"}, True),
        ({"ARG": "--trust-remote-code"}, True),
        ({"TRUST_REMOTE_CODE": "1", "ARG": "--no-trust-remote-code"}, False),
        ({"ARG": "--trust-remote-code --no-trust-remote-code"}, False),
        ({"ARG": "--no-trust-remote-code --trust-remote-code"}, True),
    ],
)
def test_the_last_word_on_remote_code_counts(variables: dict[str, str], trusted: bool) -> None:
    assert asked(**variables).trust_remote_code is trusted


def test_a_misspelled_variable_gets_a_warning() -> None:
    (note,) = asked(MODEL_SERVED_NAME="x").notes()
    assert (note.level, note.variable) == ("warning", "MODEL_SERVED_NAME")
    assert note.message == (
        "MODEL_SERVED_NAME is not a recognized variable. Did you mean MODEL_SERVE_NAME?"
    )


def test_the_name_that_set_a_field_is_known() -> None:
    request = read_asked({"LLM_MODEL": "a/b"})
    assert request.variable("model_id") == "LLM_MODEL"
    assert request.variable("revision") == "REVISION"


def test_wrong_options_fail_at_once() -> None:
    with pytest.raises(SettingError, match="no-such-option"):
        read_asked({"ARG": "--no-such-option"})


def test_repr_hides_the_environment() -> None:
    assert "secret-key" not in repr(asked(API_KEY="secret-key", ARG="--port 1"))
