"""Unusual characters in ARG, and quotes around all of it."""

import pytest

from entrypoint.environment.arg_text import unquoted, unusual_in_arg
from entrypoint.shared.characters import corrected


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('"--max-model-len 4096"', "--max-model-len 4096"),
        ("'--max-model-len 4096'", "--max-model-len 4096"),
        ('"--max-model-len=4096 --enforce-eager"\n', "--max-model-len=4096 --enforce-eager"),
        (
            '''"--override-generation-config '{"temperature": 0.5}'"''',
            """--override-generation-config '{"temperature": 0.5}'""",
        ),
        ('"--served-model-name=my model"', '"--served-model-name=my model"'),
        ('"--enforce-eager"', '"--enforce-eager"'),
        ('"--a" "b"', '"--a" "b"'),
        ("'--served-model-name' 'a b'", "'--served-model-name' 'a b'"),
        ("--max-model-len 4096", "--max-model-len 4096"),
        ('"', '"'),
        ("", ""),
    ],
)
def test_quotes_around_all_options_are_removed(text: str, meant: str) -> None:
    assert unquoted(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("\u2014max-model-len 4096", "--max-model-len 4096"),
        ("\u2013max-model-len 4096", "--max-model-len 4096"),
        ("\u2013\u2013max-model-len 4096", "--max-model-len 4096"),
        ("--max\u2011model\u2011len 4096", "--max-model-len 4096"),
        ("--enforce-eager \u2014dtype auto", "--enforce-eager --dtype auto"),
        ("\u2212O3 --seed \u22121", "-O3 --seed -1"),
        ("--dtype \u201cauto\u201d", '--dtype "auto"'),
        ("--dtype \u2018auto\u2019", "--dtype 'auto'"),
        ("\ufeff--dtype auto", "--dtype auto"),
        ("--dtype\u00a0auto", "--dtype auto"),
        ("--dtype au\u200bto", "--dtype auto"),
        ("--max-model-len \uff14\uff10\uff19\uff16", "--max-model-len 4096"),
        ("--x '{\u201ca\u201d: 1}'", "--x '{\"a\": 1}'"),
        ("--x '{\"a\":\u00a01}'", "--x '{\"a\": 1}'"),
        ("--dtype \x1b[1mauto\x1b[0m", "--dtype auto"),
    ],
)
def test_characters_that_cannot_be_meant_are_corrected(text: str, meant: str) -> None:
    assert corrected(text, unusual_in_arg(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "--max-model-len 4096\r\n--dtype auto\n\t--enforce-eager",
        "--served-model-name modèle 模型",
        "--chat-template '{{ \u201cGuten Tag\u201d \u2013 l\u2019été\u00a0! }}'",
        '--x \'{"prompt": "It\u2019s \u201cfine\u201d"}\'',
        "--chat-template /data/l\u2019été.jinja",
        "--chat-template 'a \u2013b'",
        "--served-model-name a\u2013b",
    ],
)
def test_what_can_be_meant_is_left_alone(text: str) -> None:
    assert not list(unusual_in_arg(text))
