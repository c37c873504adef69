"""Secrets stay out of what is printed."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from entrypoint.cli import main
from entrypoint.secrets import Redactor, redact, secrets_of
from tests.support.models import write_snapshot


@pytest.mark.parametrize(
    ("environ", "secrets"),
    [
        ({"HF_TOKEN": "hf_1234"}, {"hf_1234"}),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_1234", "API_KEY": "key-1"}, {"hf_1234", "key-1"}),
        ({"ARG": "--api-key key-1 key-2 --port 1"}, {"key-1", "key-2"}),
        ({"ARG": "--hf_token=hf_1234"}, {"hf_1234"}),
        ({"ARG": "--port 1 --api-key 'key-1"}, {"key-1"}),
        ({"AWS_SECRET_ACCESS_KEY": "key-1", "AWS_ACCESS_KEY_ID": "not-one"}, {"key-1"}),
        ({"AZURE_STORAGE_ACCESS_KEY": "key-1", "AWS_SESSION_TOKEN": "t-12"}, {"key-1", "t-12"}),
        ({"MODEL_ID": "https://a.blob.core.windows.net/b/c.tar?se=2&sig=abcd&sp=r"}, {"abcd"}),
        ({"STORAGE_URI": "https://a.blob.core.windows.net/b/c.tar?sig=abcd"}, {"abcd"}),
        ({"AZURE_STORAGE_SAS_TOKEN": "sig=abcd&se=2"}, {"sig=abcd&se=2", "abcd"}),
        ({"API_KEY": "abc", "MODEL_ID": "long-enough"}, set()),
    ],
)
def test_secrets_are_found_wherever_they_are(environ: dict[str, str], secrets: set[str]) -> None:
    assert secrets_of(environ) == secrets


@pytest.mark.parametrize(
    ("environ", "secrets"),
    [
        ({"ARG": "--api-key=key-1 --port 1"}, {"key-1"}),
        ({"ARG": "--api-key=-dash"}, {"-dash"}),
        ({"ARG": "--api-key 'with a blank'"}, {"with a blank"}),
        ({"VLLM_API_KEY": "key-1", "S3_SECRET_ACCESS_KEY": "key-2"}, {"key-1", "key-2"}),
        ({"HTTPS_PROXY": "http://me:pass-word@proxy:3128"}, {"pass-word"}),
        ({"S3_ENDPOINT": "me:pass-word@store:9000"}, {"pass-word"}),
        ({"ARG": "--otlp-traces-endpoint http://me:pass-word@traces"}, {"pass-word"}),
        ({"HF_ENDPOINT": "https://me:p%40ss@mirror"}, {"p%40ss", "p@ss"}),
        ({"PIP_INDEX_URL": "https://token-1234@index/simple"}, {"token-1234"}),
        ({"MODEL_ID": "s3://b/k?X-Amz-Signature=abcd1234"}, {"abcd1234"}),
        ({"VAULT_TOKEN": "hvs.1234", "WANDB_API_KEY": "0123456789"}, {"hvs.1234", "0123456789"}),
    ],
)
def test_secrets_in_arg_are_found_in_every_spelling(
    environ: dict[str, str], secrets: set[str]
) -> None:
    assert secrets_of(environ) == secrets


def test_secrets_in_a_configuration_file_are_found(tmp_path: Path) -> None:
    file = tmp_path / "vllm.yaml"
    file.write_text("api-key: [key-1, key-2]\nport: 8000\nhf_token: 0123456789\n")
    assert secrets_of({"ARG": f"--port 1 --config {file}"}) >= {"key-1", "key-2", "0123456789"}
    assert secrets_of({"ARG": f"--config={file}"}) >= {"key-1", "key-2", "0123456789"}
    assert "8000" not in secrets_of({"ARG": f"--config={file}"})
    assert secrets_of({"ARG": f"--config {tmp_path}/missing.yaml"}) == set()


@pytest.mark.parametrize(
    "arg",
    [
        "--api-key “long-key” --port 1",
        "--port –1 --api-key=long-key",  # noqa: RUF001
        "--api-key\u00a0long-key",
        "—api-key long-key",
        "--api-key long-key \\ --port 1",
        "--api-key 'long-key",
        '--limit-mm-per-prompt {"a": 1} --api-key long-key',
    ],
)
def test_the_corrected_arg_shows_no_secret(arg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"], {"MODEL_ID": "a/b", "ARG": arg}) == 78
    captured = capsys.readouterr()
    assert "long-key" not in captured.out + captured.err
    assert "ARG=" in captured.err or "Set ARG to: " in captured.err


@pytest.mark.parametrize(
    "environ",
    [
        {"MODEL_ID": "abfss://container@account.dfs.core.windows.net/a.tar"},
        {"IMAGE": "registry/image:latest@sha256:0123"},
        {"TOKENIZER": "Org/Tokenizer", "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE": "163840"},
        {"SOME_TOKEN": "true", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token"},
        {"VLLM_PORT": "tcp://10.0.0.7:8000", "ARG": "--served-model-name me@home"},
    ],
)
def test_ordinary_values_are_not_secrets(environ: dict[str, str]) -> None:
    assert secrets_of(environ) == set()


def test_the_key_in_a_connection_string_is_masked(tmp_path: Path) -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0==;EndpointSuffix=x"
    found = secrets_of({"AZURE_STORAGE_CONNECTION_STRING": text})
    assert found == {text, "c2VjcmV0=="}


def test_keys_in_a_file_are_masked(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("key-1\n\nkey-2\n")
    assert secrets_of({"API_KEY_FILE": str(keys)}) == {"key-1", "key-2"}
    assert secrets_of({"API_KEY_FILE": str(tmp_path / "none")}) == set()


def test_a_secret_that_contains_another_is_masked() -> None:
    assert redact("x key-12 key-1", {"key-1", "key-12"}) == "x *** ***"


@pytest.mark.parametrize("written", [json.dumps, repr, lambda text: quote(text, safe="")])
def test_encoded_secrets_are_masked(written: Callable[[str], str]) -> None:
    secret = 'a"b\\c/d é'
    shown = redact(written(secret), {secret})
    assert shown.strip("\"'") == "***"


class TestRedactor:
    def test_text_without_a_secret_is_unchanged(self) -> None:
        assert Redactor({})("as it is") == "as it is"

    def test_a_document_is_masked_at_every_depth(self) -> None:
        redact = Redactor({"API_KEY": "8000-x"})
        document = {"port": 8000, "argv": ("a", "b8000-x"), "none": None, "on": True}
        assert redact.every(document) == {
            "port": 8000,
            "argv": ["a", "b***"],
            "none": None,
            "on": True,
        }

    def test_new_keys_in_a_file_are_masked(self, tmp_path: Path) -> None:
        """Old keys stay masked: a request that carried one may be logged late."""
        keys = tmp_path / "keys"
        keys.write_text("first-key\n")
        redact = Redactor({"API_KEY_FILE": str(keys)})
        keys.write_text("the-second-key\n")
        assert redact("first-key the-second-key") == "*** ***"
        keys.unlink()
        assert redact("first-key the-second-key") == "*** ***"


@pytest.mark.parametrize(
    "arg",
    [
        "--api-key 'secret-key",
        "--api-kye x --api-key secret-key",
        "--hf-token secret-key another",
        "--enforce-eager --hf-token=secret-key --dtype secret-key",
    ],
)
def test_errors_are_masked(arg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"], {"MODEL_ID": "a/b", "ARG": arg}) == 78
    printed = capsys.readouterr()
    assert "secret" not in printed.out + printed.err


@pytest.mark.parametrize("words", [["plan"], ["plan", "--json"]])
def test_plans_are_masked(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_snapshot(tmp_path / "cache", "Org/Model")
    keys = tmp_path / "keys"
    keys.write_text("secret-of-the-file\n")
    environ = {
        "MODEL_ID": "Org/Model",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(tmp_path / "scratch"),
        "HF_TOKEN": "secret-token",
        "API_KEY_FILE": str(keys),
        "ARG": "--otlp-traces-endpoint http://me:secret-password@traces",
    }
    assert main(words, environ) == 0
    printed = capsys.readouterr()
    assert "me:***@traces" in printed.out
    assert "secret" not in printed.out + printed.err


def test_binary_output_is_unchanged() -> None:
    """Bytes stay as they are, around a secret that is no text either."""
    redact = Redactor({"HF_TOKEN": "hf_\udcffgeheim"})
    assert redact.output(b"a\xfe hf_\xffgeheim \xfe\n") == b"a\xfe *** \xfe\n"
    assert redact.longest >= len(b"hf_\xffgeheim")
