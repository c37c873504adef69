"""What people paste as MODEL_ID: the error names it, and the value that was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.store.search.find import find_model
from entrypoint.store.search.pasted import is_repository_id, read_pasted
from tests.support.models import a_request

COMMIT = "cf4b3c42ce2fdfe24f753f0f0d179202fea59c99"

REPOSITORIES = [
    "https://huggingface.co/o/n",
    "http://huggingface.co/o/n",
    "https://huggingface.co/o/n/",
    "https://huggingface.co/o/n/tree/main",
    "https://huggingface.co/o/n/blob/main/config.json",
    "https://huggingface.co/o/n/resolve/main/model.safetensors?download=true",
    "https://huggingface.co/o/n?library=transformers",
    "https://huggingface.co/o/n/discussions/3",
    "https://huggingface.co/o/n.git",
    "https://huggingface.co/api/models/o/n",
    "https://www.huggingface.co/o/n",
    "https://user:token@huggingface.co/o/n",
    "https://hf-mirror.com/o/n",
    "huggingface.co/o/n",
    "hf.co/o/n",
    "hf.co/o/n:Q8_0",
    "hf://o/n",
    "hf://models/o/n",
    "hf://o/n@main",
    "hf:o/n",
    "huggingface:o/n",
    "git@hf.co:o/n",
    "models--o--n",
    "o--n",
    "o/n:latest",
    "o/n:Q4_K_M",
    "o/n:7b-instruct",
    "o/n@main",
    "o/n/",
    "o/n/main",
    "o/n.",
    " o/n ",
    '"o/n"',
    "'o/n'",
    "`o/n`",
    "<o/n>",
    "o\\n",
    "o%2Fn",
    "models/o/n",
    "[o/n](https://huggingface.co/o/n)",
    "MODEL_ID=o/n",
    "--model o/n",
    "git clone https://huggingface.co/o/n",
    "git lfs clone https://huggingface.co/o/n.git",
    "hf download o/n",
    "hf download o/n --local-dir n",
    "huggingface-cli download o/n config.json",
    "vllm serve o/n --port 80",
]


@pytest.mark.parametrize("text", REPOSITORIES)
def test_the_repository_is_found_in_a_pasted_text(text: str) -> None:
    meant = read_pasted(text)
    assert meant is not None
    assert (meant.model_id, meant.revision) == ("o/n", None)


@pytest.mark.parametrize(
    ("text", "revision"),
    [
        ("https://huggingface.co/o/n/tree/v1.0", "v1.0"),
        (f"https://huggingface.co/o/n/commit/{COMMIT}", COMMIT),
        ("hf://o/n@refs%2Fpr%2F1", "refs"),
        ("o/n@v1.0", "v1.0"),
        ("o/n#v1.0", "v1.0"),
        ("o/n:fp8", "fp8"),
        ("hf download o/n --revision v2", "v2"),
    ],
)
def test_the_revision_is_found_too(text: str, revision: str) -> None:
    meant = read_pasted(text)
    assert meant is not None
    assert (meant.model_id, meant.revision) == ("o/n", revision)


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("https://huggingface.co", "the address of the hub", "org/name"),
        ("https://huggingface.co/o", "the address of an organization", "org/name"),
        ("https://huggingface.co/spaces/o/n", "the address of a Space", "org/name"),
        ("https://huggingface.co/datasets/o/n", "the address of a dataset", "org/name"),
        (
            "https://modelscope.cn/models/o/n/summary",
            "ModelScope",
            "modelscope download --model o/n",
        ),
        ("modelscope://o/n", "ModelScope", "modelscope download --model o/n"),
        ("https://github.com/o/n", "GitHub", "huggingface.co"),
        ("ollama run llama3", "Ollama", "huggingface.co"),
        ("llama3.2:1b", "Ollama", "huggingface.co"),
        ("https://example.com/m.tar.gz", "does not download from", "MODEL_TARBALL"),
        ("http://minio:9000/bucket/m.tar", "does not download from", "AWS_ENDPOINT_URL"),
        ("docker://o/n", "an image", "oci://"),
        ("C:\\models\\n", "a path on Windows", "/models/n"),
        ("C:/models/n/", "a path on Windows", "/models/n"),
        ("\\\\share\\models\\n", "a path on Windows", "/models/n"),
        ("file:/data/n", "too few slashes", "MODEL_ID=/data/n"),
        ("a/b, c/d", "a list of 2 names", "one of them"),
    ],
)
def test_what_is_no_model_of_the_hub_gets_its_own_advice(text: str, what: str, hint: str) -> None:
    meant = read_pasted(text)
    assert meant is not None
    assert meant.model_id is None
    assert what in meant.what
    assert hint in str(meant.hint)


@pytest.mark.parametrize("text", ["<org>/<name>", "o/n!", "s4://b/k", "../x y"])
def test_an_unclear_text_is_not_guessed(text: str) -> None:
    assert read_pasted(text) is None
    assert not is_repository_id(text)


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        find_model(a_request(tmp_path, model_id="https://me:hf_secret@huggingface.co/o/n"))
    assert "hf_secret" not in caught.value.in_words()


@pytest.mark.parametrize("text", REPOSITORIES)
def test_the_error_states_the_value_to_set(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        find_model(a_request(tmp_path, model_id=text))
    assert caught.value.hint == "Set MODEL_ID=o/n."


@pytest.mark.parametrize(
    ("setting", "variable", "hint"),
    [
        ("MODEL_ID", "MODEL_ID", "Set MODEL_ID=o/n and REVISION=v1."),
        ("LLM_MODEL", "LLM_MODEL", "Set LLM_MODEL=o/n and REVISION=v1."),
        ("STORAGE_URI", "STORAGE_URI", "Set MODEL_ID=o/n and REVISION=v1."),
        ("--model in ARG", "ARG", "Set --model o/n --revision v1 in ARG."),
    ],
)
def test_the_error_names_where_the_value_came_from(
    setting: str, variable: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError) as caught:
        find_model(a_request(tmp_path, model_id="o/n@v1", setting=setting))
    assert caught.value.message.startswith(f"{setting} is 'o/n@v1'")
    assert (caught.value.variable, caught.value.hint) == (variable, hint)
