"""What an environment asks for: the variables and ARG, read once."""

import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.planning.asked import read_asked
from tests.support.samples import asked, option_of, plan


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


@pytest.mark.parametrize(
    ("variables", "token"),
    [
        ({}, None),
        ({"HF_TOKEN": "hf_1234"}, "hf_1234"),
        ({"HF_TOKEN": "hf_1234", "ARG": "--hf-token hf_5678"}, "hf_5678"),
        ({"HF_TOKEN": "hf_1234", "ARG": "--hf-token"}, "hf_1234"),
    ],
)
def test_args_token_wins(variables: dict[str, str], token: str | None) -> None:
    read = asked(**variables)
    assert read.hf_token == token


@pytest.mark.parametrize(
    ("arg", "first"),
    [
        ("", "/cache"),
        ("--download-dir /weights", "/weights"),
        ("--download_dir=weights", f"{Path.cwd()}/weights"),
        ("--download-dir None", "/cache"),
    ],
)
def test_the_download_directory_is_searched_first(arg: str, first: str) -> None:
    roots = asked(HF_HUB_CACHE="/cache", ARG=arg).cache_roots
    assert roots[0] == Path(first)
    assert Path("/cache") in roots


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({"TRANSFORMERS_OFFLINE": "1"}, True),
        ({"TRANSFORMERS_OFFLINE": "ON"}, True),
        ({"TRANSFORMERS_OFFLINE": "0"}, False),
        ({"HF_HUB_OFFLINE": "YES"}, True),
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, False),
        ({"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "TRUE"}, True),
        ({"HF_DATASETS_OFFLINE": "1"}, False),
    ],
)
def test_offline_is_read_as_the_hubs_client_reads_it(
    variables: dict[str, str], offline: bool
) -> None:
    assert asked(**variables).settings.hf_hub_offline is offline
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from huggingface_hub.constants import HF_HUB_OFFLINE; print(HF_HUB_OFFLINE)",
        ],
        env={**variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(offline)


def test_offline_data_sets_leave_a_note() -> None:
    notes = [n.message for n in plan(HF_DATASETS_OFFLINE="1").notes]
    assert len(notes) == 1
    assert "set HF_HUB_OFFLINE=1" in notes[0]
    assert not plan(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1").notes


def test_the_plan_names_the_variable_that_forbids_the_network() -> None:
    shown = option_of(plan(TRANSFORMERS_OFFLINE="1"), "HF_HUB_OFFLINE")
    assert (shown["value"], shown["variable"]) == ("1", "TRANSFORMERS_OFFLINE")
