"""Hostile JSON: huge, deep, of wrong types, or hard on the engine."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.hostile.attack import Attack, json_request
from tests.support.launch import DEMO

MESSAGES = [{"role": "user", "content": "What is this?"}]
TOKENS = 2
"""Maximum tokens of an accepted generation: the answers themselves are not tested."""

BASES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"model": DEMO, "prompt": "What is this?", "max_tokens": TOKENS},
    "/v1/chat/completions": {"model": DEMO, "messages": MESSAGES, "max_tokens": TOKENS},
    "/v1/chat/completions/batch": {"model": DEMO, "messages": [MESSAGES], "max_tokens": TOKENS},
    "/v1/responses": {"model": DEMO, "input": "What is this?", "max_output_tokens": TOKENS},
    "/v1/messages": {"model": DEMO, "messages": MESSAGES, "max_tokens": TOKENS},
    "/v1/messages/count_tokens": {"model": DEMO, "messages": MESSAGES},
    "/invocations": {"model": DEMO, "messages": MESSAGES, "max_tokens": TOKENS},
    "/tokenize": {"model": DEMO, "prompt": "What is this?"},
    "/detokenize": {"model": DEMO, "tokens": [1, 2, 3]},
    "/generative_scoring": {"model": DEMO, "query": "a", "items": ["b"], "label_token_ids": [5]},
}
"""A valid document for each path that accepts one."""

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

ENGINE_VALUES: dict[str, list[Any]] = {
    "prompt": [
        [-1],
        [2**31],
        [2**63],
        [10**30],
        [1535, 1536],
        [[-5, 3]],
        [],
        [[]],
        "",
        ["", ""],
        [0] * 3_000,
        ["a"] * 20,
        "a" * 200_000,
        " " * 50_000,
        "\ud800",
        "\x00" * 100,
        {"prompt_token_ids": [1]},
    ],
    "messages": [
        [],
        [{}],
        [{"role": "tool", "content": None}],
        [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://[::1"}}]}],
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "!"}}]}],
        [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "data:,"}}]}],
        [{"role": "\x00", "content": "\ud800"}],
        [{"role": "user", "content": ["a"] * 500}],
        MESSAGES * 500,
    ],
    "n": [0, -1, 10**9, 2**63, 1.5],
    "best_of": [-1, 10**9],
    "logprobs": [-1, 10**9, 2**31, 100],
    "top_logprobs": [-1, 10**9, 2**31, 100],
    "prompt_logprobs": [-1, -2, 10**9, 5],
    "max_tokens": [0, -1, 2**31, 2**63, 10**30],
    "min_tokens": [-1, 2**31, 10**30],
    "temperature": [-1, 1e308, float("nan"), float("inf"), -float("inf"), 1e-320],
    "top_p": [0, -1, 2, float("nan"), 1e-320],
    "top_k": [-2, 2**31, 2**63, 10**30],
    "min_p": [-1, 2, float("nan")],
    "repetition_penalty": [0, -1, 1e308, float("nan"), float("inf")],
    "frequency_penalty": [3, -3, float("nan"), 1e308],
    "presence_penalty": [3, -3, float("nan"), 1e308],
    "length_penalty": [0, -1, float("nan")],
    "use_beam_search": [True],
    "seed": [-1, 2**63, 2**64, -(2**63), 10**30],
    "stop": ["", [""], ["a"] * 1_000, [None], "\ud800"],
    "stop_token_ids": [[-1], [2**31], [2**63], [10**30], list(range(2_000))],
    "bad_words": [[""], ["a"] * 1_000, ["\ud800"]],
    "logit_bias": [
        {"-1": 1},
        {"999999": 1},
        {"9" * 30: 1},
        {"a": 1},
        {"1": 1e308},
        {"1": float("nan")},
        {str(n): 1 for n in range(3_000)},
    ],
    "allowed_token_ids": [[], [-1], [2**31], [2**63], [1536], list(range(3_000))],
    "priority": [-(2**63), 2**63, 10**30],
    "truncate_prompt_tokens": [0, -1, -2, 2**31, 10**30],
    "echo": [True],
    "stream": [True, "yes", 7],
    "stream_options": [{}, {"include_usage": "?"}, []],
    "response_format": [
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "file:///etc"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"pattern": "(a+)+$"}}},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}},
        {"type": "structural_tag"},
        {"type": "\x00"},
    ],
    "structured_outputs": [
        {},
        {"regex": "("},
        {"regex": "(a|a)*" * 20},
        {"regex": "(?<=a)b"},
        {"regex": "a{1,100000}"},
        {"regex": "\ud800"},
        {"choice": []},
        {"choice": [""]},
        {"choice": ["a"] * 1_000},
        {"grammar": "root ::= root"},
        {"grammar": "root ::="},
        {"grammar": "(" * 2_000},
        {"json": "{"},
        {"json": {"type": "object", "properties": {"a" * 10_000: {}}}},
        {"json": {"enum": []}},
        {"json": {"minLength": 10**9, "type": "string"}},
        {"regex": "a", "choice": ["b"]},
        {"structural_tag": "{"},
    ],
    "tools": [
        [],
        [{}],
        [{"type": "function", "function": {"name": "\x00", "parameters": {"type": 7}}}],
        [{"type": "function", "function": {"name": "a", "parameters": {"$ref": "#"}}}] * 50,
    ],
    "tool_choice": ["required", "nothing", {"type": "function", "function": {"name": "a"}}],
    "chat_template": ["{{ ''.__class__ }}", "{% for a in range(10**9) %}a{% endfor %}", "{{"],
    "chat_template_kwargs": [{"messages": 1}, {"chat_template": "{{"}, {"a": {"b": []}}],
    "documents": [[{}], [{"title": 1}], "a"],
    "add_generation_prompt": [False, "no"],
    "continue_final_message": [True],
    "mm_processor_kwargs": [{"a": 1}, []],
    "kv_transfer_params": [{"do_remote_decode": True}, {"remote_engine_id": "a"}, []],
    "vllm_xargs": [{"a": 1}, {"a": [1, "b"]}, {"a": {}}],
    "prompt_embeds": ["!", "gASVAAAA", ["AAAA"], "A" * 10_000],
    "cache_salt": ["", "a" * 100_000, "\ud800"],
    "request_id": ["", "a" * 100_000, "\x00", "\ud800"],
    "include_stop_str_in_output": [True],
    "skip_special_tokens": [False],
    "return_token_ids": [True],
    "return_tokens_as_token_ids": [True],
    "tokens": [[], [-1], [2**31], [2**63], [10**30], [1536], list(range(5_000)), ["a"]],
    "input": ["", [], [{}], [{"type": "item_reference", "id": "a"}], "a" * 200_000],
    "previous_response_id": ["resp_a", "", "\x00"],
    "background": [True],
    "store": [True],
    "items": [[], [""], ["a"] * 100, [[-1]], [[2**31]]],
    "label_token_ids": [[], [-1], [1536], [2**63], list(range(2_000))],
    "suffix": ["a"],
    "user": ["a" * 100_000, 7],
    "model": ["", "\x00", "../..", "a" * 100_000, None, 7, [DEMO]],
}
"""Values for the parameters of requests, most of them out of bounds."""

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64,
    10**400,
    -(2**63),
    1e308,
    1e-320,
    float("nan"),
    float("inf"),
    "",
    "\x00",
    "\ud800",
    "\U0001f4a5" * 100,
    "A" * 20_000,
    "../../etc/passwd",
    "{{ 7 * 7 }}",
    "(a+)+$",
    [],
    {},
    [[[[[[]]]]]],
    [None] * 100,
    list(range(1_000)),
    {"a": {"a": {"a": {}}}},
    {"": ""},
    {"$ref": "#"},
    {"__proto__": 1},
]


def _nodes(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a document."""
    inner: Sequence[tuple[Any, Any]] = []
    if isinstance(document, dict):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document[:20]))
    paths = []
    for key, value in inner:
        paths += [(*path, key), *_nodes(value, (*path, key))]
    return paths


def _put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def _limited(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Replace a large token limit by a small one, so that accepted requests end soon.

    A limit that is out of bounds stays.
    """
    if path in ("/tokenize", "/detokenize"):
        return document
    for name in LIMITS:
        limit = document.get(name)
        if isinstance(limit, int) and TOKENS < limit < 2**31:
            document[name] = TOKENS
    if not any(document.get(name) is not None for name in LIMITS):
        name = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
        document[name] = TOKENS
    many = document.get("n")
    if isinstance(many, int) and 4 < many < 10**6:
        document["n"] = 4
    return document


def limited_body(body: bytes | None, path: str, rng: random.Random) -> bytes | None:
    """Return a generated body with a small token limit, half of the time with the right model."""
    if body is None:
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(document, dict):
        return body
    if rng.random() < 0.5:
        document["model"] = DEMO
    return json.dumps(_limited(document, path)).encode()


def mutated(
    rng: random.Random, path: str, document: Mapping[str, Any], names: Sequence[str]
) -> bytes:
    """Return a copy of a document with one to three values changed or added.

    Args:
        rng: Makes the choices.
        path: The path of the request.
        document: The original document.
        names: The parameters of the path's requests.
    """
    changed = copy.deepcopy(dict(document))
    for _ in range(rng.randint(1, 3)):
        nodes = _nodes(changed)
        what = rng.randrange(4)
        if what == 0 and nodes:
            _put(changed, rng.choice(nodes), _one_of(rng, VALUES))
        elif what == 1 and nodes:
            changed.pop(rng.choice(nodes)[0], None)
        elif what == 2 and names:
            changed[rng.choice(names)] = _one_of(rng, VALUES)
        else:
            name = rng.choice(list(ENGINE_VALUES))
            changed[name] = _one_of(rng, ENGINE_VALUES[name])
    return json.dumps(_limited(changed, path)).encode()


def _one_of(rng: random.Random, values: Sequence[Any]) -> Any:
    """Return a copy of a random value: the next change may be inside it."""
    return copy.deepcopy(rng.choice(values))


def engine_attacks(key: str) -> list[Attack]:
    """Return every value of :data:`ENGINE_VALUES` on every path."""
    attacks = []
    for path, base in BASES.items():
        for name, values in ENGINE_VALUES.items():
            for value in values:
                document = _limited({**base, name: value}, path)
                attacks.append(Attack(f"{name} of {path}", json_request(path, document, key)))
    return attacks


def monsters(rng: random.Random, key: str) -> Attack:
    """Return a document that is huge, deep, or broken JSON."""
    path = rng.choice(list(BASES))
    depth = rng.choice([100, 1_000, 10_000, 100_000])
    good = json.dumps(BASES[path])[:-1].encode()
    body = rng.choice(
        [
            b"[" * depth,
            b"[" * depth + b"]" * depth,
            b'{"a":' * depth,
            b'{"a":' * depth + b"1" + b"}" * depth,
            good + b', "messages": ' + b"[" * depth + b"]" * depth + b"}",
            good + b', "response_format": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}",
            good + b', "tools": ' + b'[{"a":' * depth + b"1" + b"}]" * depth + b"}",
            good + b', "temperature": ' + b"9" * depth + b"}",
            good + b', "seed": 1e' + b"9" * 50 + b"}",
            good + b', "seed": ' + b"-" * depth + b"1}",
            good + b', "temperature": NaN, "top_p": Infinity}',
            good + b', "max_tokens": 2' * 500 + b"}",
            good + b', "user": "' + b"\\u0000" * 5_000 + b'"}',
            good + b', "user": "' + b"\\ud800" * 5_000 + b'"}',
            good + b', "user": "' + b"a" * rng.choice([10_000, 500_000, 2_000_000]) + b'"}',
            good + b', "x": {' + b",".join(b'"%d":%d' % (n, n) for n in range(5_000)) + b"}}",
            good + b", }",
            good + b'} {"model": 1}',
            good.replace(b'"', b"'") + b"}",
            b'"' + b"a" * 10_000,
            b"null",
            b"7",
            b'""',
            b"[]",
            b"{}",
            b"\x00" * 1_000,
            b"[" + b"1," * 100_000 + b"1]",
        ]
    )
    return Attack("huge, deep or broken JSON", json_request(path, body, key))
