"""Did you mean."""

import pytest

from entrypoint.spelling import nearest


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("MODELID", ["MODEL_ID", "PORT"], "MODEL_ID"),
        ("meta-llama/llama-2-7b", ["meta-llama/Llama-2-7b", "a/b"], "meta-llama/Llama-2-7b"),
        ("--max-modellen", ["--max-model-len", "--max-num-seqs"], "--max-model-len"),
        ("nothing-like-it", ["MODEL_ID"], None),
        ("x", [], None),
    ],
)
def test_the_most_similar_name_is_found(name: str, known: list[str], found: str | None) -> None:
    assert nearest(name, known) == found
