"""Secrets stay out of what is printed."""

import pytest

from entrypoint.cli import main
from entrypoint.secrets import redact, secrets_of


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
def test_secrets_of(environ: dict[str, str], secrets: set[str]) -> None:
    assert secrets_of(environ) == secrets


def test_a_secret_in_another_one() -> None:
    assert redact("x key-12 key-1", {"key-1", "key-12"}) == "x *** ***"


@pytest.mark.parametrize(
    "arg",
    [
        "--api-key 'secret-key",
        "--api-kye x --api-key secret-key",
        "--hf-token secret-key another",
        "--enforce-eager --hf-token=secret-key --dtype secret-key",
    ],
)
def test_no_error_gives_one_away(arg: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--json"], {"MODEL_ID": "a/b", "ARG": arg}) == 78
    printed = capsys.readouterr()
    assert "secret" not in printed.out + printed.err
