"""Ways to make the real engine fail, each with the kind of failure that its log must show.

:mod:`tests.support.failure_producer` runs them and keeps the logs.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NOBODY = 65534
"""A user who owns nothing. Without root, limits and modes apply to the current user."""
HUB_ANSWERS = {
    "denied": 401,
    "forbidden": 403,
    "missing": 404,
    "broken": 500,
    "busy": 503,
}
"""Repositories of the producer's stand-in for the hub, and the status of each answer."""

Change = Callable[[Path], object]


@dataclass(frozen=True)
class FailureCase:
    """One way to make the engine fail.

    Attributes:
        name: The name of its log.
        kind: The kind of failure, decided before the log was seen.
        argv: Options after ``--model``. ``{folder}`` is the case's folder, ``{model}`` the
            model's, ``{port}`` a free port, ``{taken}`` a taken one.
        environ: Variables of the engine.
        change: Changes the model, a copy of the demo's, in the case's folder.
        model: What ``--model`` names; the model's folder if empty.
        limits: The engine's resource limits.
        user: The user that runs the engine.
        mounts: Shell commands that run first, in a mount namespace of the engine's own.
        kill: The signal to send, and to which of the engine's processes, once a line of the log
            has these words.
        compiled: Whether the engine compiles; it starts faster without.
    """

    name: str
    kind: str
    argv: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None
    model: str = ""
    limits: Mapping[int, int] = field(default_factory=dict)
    user: int | None = None
    mounts: str = ""
    kill: tuple[signal.Signals, str, str] | None = None
    compiled: bool = False


def text(name: str, content: str | bytes) -> Change:
    """Replace a file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda model: (model / name).write_bytes(data)


def without(*names: str) -> Change:
    """Remove files."""

    def change(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return change


def cut(name: str, kept: float) -> Change:
    """Keep only the first part of a file."""

    def change(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[: int(len(data) * kept)])

    return change


def values(name: str = "config.json", **changed: Any) -> Change:
    """Set values in a JSON file; None removes one."""

    def change(model: Path) -> None:
        path = model / name
        merged = {**json.loads(path.read_text()), **changed}
        path.write_text(json.dumps({k: v for k, v in merged.items() if v is not None}))

    return change


def all_of(*changes: Change) -> Change:
    """Make several changes."""
    return lambda model: [change(model) for change in changes]


def tensors(edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Change the tensors of the weights, as ``{name: array}``."""

    def change(model: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = model / "model.safetensors"
        save_file(edit(load_file(path)), path, {"format": "pt"})

    return change


def header(data: bytes) -> Change:
    """Replace the start of the weights."""

    def change(model: Path) -> None:
        path = model / "model.safetensors"
        path.write_bytes(data + path.read_bytes()[len(data) :])

    return change


def sharded(index: str | None = None, **places: str) -> Change:
    """Give the weights an index, which may name other files."""

    def change(model: Path) -> None:
        from safetensors import safe_open

        whole = model / "model.safetensors"
        with safe_open(whole, "pt") as opened:
            names = list(opened.keys())
        whole.rename(model / "model-00001-of-00002.safetensors")
        placed = dict.fromkeys(names, "model-00001-of-00002.safetensors") | places
        written = index or json.dumps({"metadata": {}, "weight_map": placed})
        (model / "model.safetensors.index.json").write_text(written)

    return change


def pickled(data: bytes) -> Change:
    """Replace the weights by a file of torch.save."""
    return all_of(without("model.safetensors"), text("pytorch_model.bin", data))


class _Runs:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("true",)


def code(configuration: str, **more: str) -> Change:
    """Give the model its own Python code: its configuration class, and other files."""
    auto = {"AutoConfig": "configuration_demo.DemoConfig"}
    files = {"configuration_demo.py": configuration, **more}
    return all_of(
        values(model_type="demo", auto_map=auto),
        *(text(name.replace("__", "."), content) for name, content in files.items()),
    )


DEMO_CONFIG = """
from transformers import PretrainedConfig

class DemoConfig(PretrainedConfig):
    model_type = "demo"
    def __init__(self, **rest):
        super().__init__(**rest)
"""


def adapter(rank: int = 8, edit: Change | None = None, **changed: Any) -> Change:
    """Write a LoRA adapter beside the model."""

    def change(model: Path) -> None:
        import torch
        from safetensors.torch import save_file

        place = model.parent / "adapter"
        place.mkdir()
        config = {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": 16,
            "target_modules": ["q_proj"],
            "bias": "none",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "demo",
            **changed,
        }
        (place / "adapter_config.json").write_text(json.dumps(config))
        name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
        weights = {}
        for layer in range(3):
            weights[name.format(layer, "A")] = torch.zeros(rank, 256)
            weights[name.format(layer, "B")] = torch.zeros(256, rank)
        save_file(weights, place / "adapter_model.safetensors")
        if edit:
            edit(place)

    return change


def renamed_adapter(place: Path) -> None:
    """Make an adapter's weights those of modules that the model does not have."""
    from safetensors.torch import load_file, save_file

    path = place / "adapter_model.safetensors"
    weights = {name.replace("q_proj", "fancy_proj"): each for name, each in load_file(path).items()}
    save_file(weights, path)


def certificates(model: Path) -> None:
    """Write two keys, a certificate for the first, and a file that is neither."""
    for name in ("one", "two"):
        subprocess.run(
            f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt "
            "-days 2 -subj /CN=localhost",
            shell=True,
            cwd=model.parent,
            check=True,
            capture_output=True,
        )
    (model.parent / "garbage.pem").write_text("not a certificate\n")


def a_file(name: str, content: str) -> Change:
    """Write a file beside the model."""

    def change(model: Path) -> None:
        path = model.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return change


def mode(name: str, bits: int) -> Change:
    """Change the mode of one of the model's files, or of its folder."""
    return lambda model: (model / name).chmod(bits)


def architecture(name: str, kind: str, **more: Any) -> Change:
    """Make the model one of another architecture, whose weights are dummies."""
    return values(architectures=[name], model_type=kind, **more)


DUMMY = ("--load-format", "dummy")
LORA = ("--enable-lora", "--lora-modules", "one={folder}/adapter")
HUB = {"HF_ENDPOINT": "http://127.0.0.1:{hub}", "HF_HUB_OFFLINE": "0"}


def case(name: str, kind: str, *argv: str, **more: Any) -> FailureCase:
    return FailureCase(name, kind, argv, **more)


WEIGHTS = (
    case("weights-cut-in-the-data", "weights-corrupt", change=cut("model.safetensors", 0.7)),
    case(
        "weights-header-too-long", "weights-corrupt", change=header(b"\xff\xff\xff\xff\x00\0\0\0")
    ),
    case(
        "weights-header-of-no-json",
        "weights-corrupt",
        change=header((64).to_bytes(8, "little") + b"x" * 64),
    ),
    case("weights-all-zero", "weights-corrupt", change=text("model.safetensors", bytes(100_000))),
    case(
        "weights-an-error-page",
        "weights-corrupt",
        change=text("model.safetensors", "<!DOCTYPE html><html><body>403 Forbidden</body></html>"),
    ),
    case("weights-seven-bytes", "weights-corrupt", change=text("model.safetensors", b"1234567")),
    case(
        "weights-shard-cut",
        "weights-corrupt",
        change=all_of(sharded(), cut("model-00001-of-00002.safetensors", 0.4)),
    ),
    case(
        "weights-without-a-norm",
        "weights-mismatch",
        change=tensors(lambda t: {k: v for k, v in t.items() if k != "model.norm.weight"}),
    ),
    case(
        "weights-with-a-stranger",
        "weights-mismatch",
        change=tensors(
            lambda t: {**t, "model.layers.0.self_attn.fancy.weight": t["model.norm.weight"].clone()}
        ),
    ),
    case(
        "weights-of-another-naming",
        "weights-mismatch",
        change=tensors(lambda t: {k.replace("model.", "transformer."): v for k, v in t.items()}),
    ),
    case("weights-of-half-the-width", "weights-mismatch", change=values(hidden_size=128)),
    case("weights-of-another-vocabulary", "weights-mismatch", change=values(vocab_size=1600)),
    case("weights-of-more-kv-heads", "weights-mismatch", change=values(num_key_value_heads=4)),
    case(
        "weights-of-another-architecture",
        "weights-mismatch",
        change=architecture("GPT2LMHeadModel", "gpt2", n_embd=256, n_head=4, n_layer=3),
    ),
    case(
        "weights-shard-missing",
        "model-missing",
        change=sharded(**{"model.norm.weight": "model-00002-of-00002.safetensors"}),
    ),
    case("weights-pickle-cut", "weights-corrupt", change=pickled(b"PK\x03\x04" + bytes(2000))),
    case(
        "weights-pickle-runs-code", "weights-corrupt", change=pickled(pickle.dumps({"a": _Runs()}))
    ),
    case("weights-pickle-empty", "weights-corrupt", change=pickled(b"")),
    case(
        "weights-only-gguf",
        "model-missing",
        change=all_of(without("model.safetensors"), text("model.gguf", b"GGUF" + bytes(64))),
    ),
    case(
        "weights-not-readable",
        "permission-denied",
        change=mode("model.safetensors", 0),
        user=NOBODY,
    ),
    case("model-folder-not-readable", "model-missing", change=mode(".", 0), user=NOBODY),
    case("model-folder-missing", "model-missing", model="{folder}/nowhere"),
    case("load-format-mistral", "model-missing", "--load-format", "mistral"),
    case("load-format-sharded-state", "model-missing", "--load-format", "sharded_state"),
    case("load-format-fastsafetensors", "package-missing", "--load-format", "fastsafetensors"),
)
CONFIG = (
    case("config-empty", "config-unusable", change=text("config.json", "")),
    case("config-a-list", "config-unusable", change=text("config.json", "[]")),
    case(
        "config-of-two-bytes-characters",
        "config-unusable",
        change=lambda model: (model / "config.json").write_text(
            (model / "config.json").read_text(), "utf-16"
        ),
    ),
    case("config-size-in-words", "config-unusable", change=values(hidden_size="many")),
    case("config-heads-zero", "config-unusable", change=values(num_attention_heads=0)),
    case(
        "config-heads-do-not-divide",
        "config-unusable",
        change=values(num_attention_heads=7, head_dim=None),
    ),
    case("config-without-model-type", "architecture-unsupported", change=values(model_type=None)),
    case(
        "config-rope-unknown",
        "config-unusable",
        change=values(rope_scaling={"rope_type": "fancy", "factor": 2.0}),
    ),
    case("config-dtype-unknown", "config-unusable", change=values(torch_dtype="float7")),
    case("config-activation-unknown", "config-unusable", change=values(hidden_act="fancy")),
    case("config-layers-missing", "config-unusable", change=values(num_hidden_layers="three")),
    case("generation-config-nowhere", "model-missing", "--generation-config", "{folder}/nowhere"),
    case("hf-config-path-nowhere", "model-missing", "--hf-config-path", "{folder}/nowhere"),
    case(
        "architecture-by-override",
        "architecture-unsupported",
        "--hf-overrides",
        '{"architectures": ["NopeForCausalLM"]}',
    ),
    case(
        "architecture-removed",
        "architecture-unsupported",
        *DUMMY,
        change=architecture("MotifForCausalLM", "llama"),
    ),
    case(
        "architecture-of-diffusers",
        "model-missing",
        change=all_of(
            without("config.json"), text("model_index.json", '{"_class_name": "FluxPipeline"}')
        ),
    ),
    case(
        "embedding-model-that-generates",
        "invalid-option",
        "--runner",
        "generate",
        *DUMMY,
        change=architecture("BertModel", "bert"),
    ),
    case(
        "vision-model-without-processor",
        "package-missing",
        *DUMMY,
        change=values(
            architectures=["LlavaForConditionalGeneration"],
            model_type="llava",
            text_config={
                "model_type": "llama",
                "vocab_size": 1536,
                "hidden_size": 256,
                "num_attention_heads": 4,
                "num_hidden_layers": 2,
                "intermediate_size": 512,
            },
            vision_config={
                "model_type": "clip_vision_model",
                "hidden_size": 64,
                "image_size": 28,
                "patch_size": 14,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 64,
                "projection_dim": 64,
            },
            image_token_index=5,
        ),
    ),
    case(
        "quantization-gptq-without-keys",
        "quantization-unsupported",
        change=values(quantization_config={"quant_method": "gptq"}),
    ),
    case(
        "quantization-gptq-odd-bits",
        "quantization-unsupported",
        change=values(
            quantization_config={
                "quant_method": "gptq",
                "bits": 5,
                "group_size": 128,
                "desc_act": False,
            }
        ),
    ),
    case(
        "quantization-compressed-odd",
        "quantization-unsupported",
        change=values(
            quantization_config={
                "quant_method": "compressed-tensors",
                "format": "fancy",
                "config_groups": {
                    "g": {
                        "targets": ["Linear"],
                        "weights": {
                            "num_bits": 3,
                            "type": "int",
                            "symmetric": True,
                            "strategy": "channel",
                        },
                    }
                },
            }
        ),
    ),
    case(
        "quantization-differs",
        "quantization-unsupported",
        "--quantization",
        "awq",
        change=values(
            quantization_config={
                "quant_method": "gptq",
                "bits": 4,
                "group_size": 128,
                "desc_act": False,
            }
        ),
    ),
    case(
        "quantization-gptq-of-plain-weights", "quantization-unsupported", "--quantization", "gptq"
    ),
    case("quantization-modelopt", "quantization-unsupported", "--quantization", "modelopt"),
    case(
        "dtype-half-of-gemma",
        "dtype-unsupported",
        "--dtype",
        "float16",
        *DUMMY,
        change=architecture(
            "Gemma3ForCausalLM", "gemma3_text", query_pre_attn_scalar=64, sliding_window=512
        ),
    ),
)
TOKENIZER = (
    case("tokenizer-empty", "tokenizer-unusable", change=text("tokenizer.json", "")),
    case("tokenizer-an-empty-object", "tokenizer-unusable", change=text("tokenizer.json", "{}")),
    case(
        "tokenizer-an-lfs-pointer",
        "tokenizer-unusable",
        change=text(
            "tokenizer.json",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 35380\n",
        ),
    ),
    case("tokenizer-config-cut", "tokenizer-unusable", change=cut("tokenizer_config.json", 0.5)),
    case("tokenizer-nowhere", "tokenizer-unusable", "--tokenizer", "{folder}/nowhere"),
    case("tokenizer-mode-mistral", "tokenizer-unusable", "--tokenizer-mode", "mistral"),
    case(
        "tokenizer-sentencepiece-garbage",
        "tokenizer-unusable",
        change=all_of(
            without("tokenizer.json"),
            text("tokenizer.model", b"\x00garbage" * 50),
            values("tokenizer_config.json", tokenizer_class="LlamaTokenizer"),
        ),
    ),
    case(
        "tokenizer-with-code",
        "remote-code-refused",
        change=all_of(
            without("tokenizer.json"),
            values(
                "tokenizer_config.json",
                tokenizer_class="FancyTokenizer",
                auto_map={"AutoTokenizer": ["tokenization_fancy.FancyTokenizer", None]},
            ),
            text("tokenization_fancy.py", "class FancyTokenizer: pass"),
        ),
    ),
    case("chat-template-a-folder", "chat-template-missing", "--chat-template", "{model}"),
    case("chat-template-a-name", "chat-template-missing", "--chat-template", "chatml"),
)
CODE = (
    case(
        "code-needs-a-package",
        "package-missing",
        "--trust-remote-code",
        change=code("import fancy_kernels\n" + DEMO_CONFIG),
    ),
    case(
        "code-checks-its-imports",
        "package-missing",
        "--trust-remote-code",
        change=code("from einops_fancy import rearrange\n" + DEMO_CONFIG),
    ),
    case(
        "code-with-a-syntax-error",
        "remote-code-failed",
        "--trust-remote-code",
        change=code("class DemoConfig(:\n"),
    ),
    case(
        "code-raises",
        "config-unusable",
        "--trust-remote-code",
        change=code(DEMO_CONFIG + "        raise ValueError('rope_theta is needed')\n"),
    ),
    case(
        "code-divides-by-zero",
        "remote-code-failed",
        "--trust-remote-code",
        change=code(DEMO_CONFIG + "        self.size = 1 // 0\n"),
    ),
    case(
        "code-of-older-transformers",
        "remote-code-failed",
        "--trust-remote-code",
        change=code("from transformers.utils import is_fancy_available\n" + DEMO_CONFIG),
    ),
    case(
        "code-lacks-its-class", "remote-code-failed", "--trust-remote-code", change=code("x = 1\n")
    ),
    case(
        "code-file-missing",
        "model-missing",
        "--trust-remote-code",
        change=all_of(code(""), without("configuration_demo.py")),
    ),
    case("code-not-trusted", "remote-code-refused", change=code(DEMO_CONFIG)),
)
OPTIONS = (
    case("option-unknown", "invalid-option", "--fancy-option", "3"),
    case("option-misspelt", "invalid-option", "--max-modle-len", "300"),
    case("option-removed", "invalid-option", "--task", "embed"),
    case("option-stray-words", "invalid-option", "--max-model-len", "300", "tokens", "please"),
    case("option-of-no-number", "invalid-option", "--max-num-seqs", "many"),
    case("option-of-another-choice", "invalid-option", "--dtype", "float7"),
    case("option-without-value", "invalid-option", "--max-model-len"),
    case("option-ambiguous", "invalid-option", "--max-l", "3"),
    case("option-flag-with-value", "invalid-option", "--enforce-eager=yes"),
    case("kv-cache-dtype-unknown", "invalid-option", "--kv-cache-dtype", "fp9"),
    case("speculative-of-no-json", "invalid-option", "--speculative-config", "{method: ngram"),
    case(
        "speculative-method-unknown",
        "invalid-option",
        "--speculative-config",
        '{"method": "fancy", "num_speculative_tokens": 2}',
    ),
    case(
        "speculative-without-tokens",
        "invalid-option",
        "--speculative-config",
        '{"method": "ngram"}',
    ),
    case(
        "speculative-zero-tokens",
        "invalid-option",
        "--speculative-config",
        '{"method": "ngram", "num_speculative_tokens": 0, "prompt_lookup_max": 3}',
    ),
    case(
        "speculative-lookup-inverted",
        "invalid-option",
        "--speculative-config",
        '{"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 2, '
        '"prompt_lookup_min": 5}',
    ),
    case(
        "speculative-key-unknown",
        "invalid-option",
        "--speculative-config",
        '{"method": "ngram", "fancy": 1}',
    ),
    case("compilation-mode-99", "invalid-option", "--compilation-config", '{"mode": 99}'),
    case("compilation-key-unknown", "invalid-option", "--compilation-config", '{"fancy": 1}'),
    case("overrides-of-no-json", "invalid-option", "--hf-overrides", "{architectures"),
    case("limit-mm-of-words", "invalid-option", "--limit-mm-per-prompt", '{"image": "many"}'),
    case("attention-backend-unknown", "attention-unsupported", "--attention-backend", "FANCY"),
    case("share-negative", "invalid-option", "--gpu-memory-utilization", "-0.5"),
    case("length-zero", "invalid-option", "--max-model-len", "0"),
    case("length-of-a-billion", "length-above-model", "--max-model-len", "1000000000"),
    case("length-in-k", "length-above-model", "--max-model-len", "128k"),
    case("heads-by-five", "shards-do-not-divide", "--tensor-parallel-size", "5"),
    case("shards-zero", "invalid-option", "--tensor-parallel-size", "0"),
    case("pipeline-of-two", "too-few-devices", "--pipeline-parallel-size", "2"),
    case("executor-unknown", "invalid-option", "--distributed-executor-backend", "fancy"),
    case("parser-without-name", "invalid-option", "--enable-auto-tool-choice"),
    case(
        "parser-plugin-missing",
        "invalid-option",
        "--tool-parser-plugin",
        "{folder}/nowhere.py",
        "--tool-call-parser",
        "mine",
        "--enable-auto-tool-choice",
    ),
    case(
        "structured-backend-unknown",
        "invalid-option",
        "--structured-outputs-config",
        '{"backend": "fancy"}',
    ),
    case("origins-of-no-json", "invalid-option", "--allowed-origins", "https://example.org"),
    case("config-file-missing", "invalid-option", "--config", "{folder}/nowhere.yaml"),
    case(
        "config-file-of-no-yaml",
        "invalid-option",
        "--config",
        "{folder}/c.yaml",
        change=a_file("c.yaml", "port: [8000\nmodel: x\n"),
    ),
    case("sleep-mode", "invalid-option", "--enable-sleep-mode"),
    case("middleware-missing", "package-missing", "--middleware", "nope.Thing"),
    case("logits-processor-missing", "package-missing", "--logits-processors", "nope:Thing"),
    case(
        "connector-unknown",
        "connector-failed",
        "--kv-transfer-config",
        '{"kv_connector": "FancyConnector", "kv_role": "kv_both"}',
    ),
    case(
        "connector-role-unknown",
        "invalid-option",
        "--kv-transfer-config",
        '{"kv_connector": "ExampleConnector", "kv_role": "fancy"}',
    ),
    case("connector-of-no-json", "invalid-option", "--kv-transfer-config", "{kv"),
    case("ray-backend", "ray-unreachable", "--distributed-executor-backend", "ray"),
    case(
        "data-parallel-rank-above",
        "invalid-option",
        "--data-parallel-size",
        "2",
        "--data-parallel-rank",
        "5",
    ),
    case(
        "tls-certificate-missing",
        "tls-unusable",
        "--ssl-certfile",
        "{folder}/nowhere.crt",
        "--ssl-keyfile",
        "{folder}/nowhere.key",
    ),
    case(
        "tls-certificate-garbage",
        "tls-unusable",
        "--ssl-certfile",
        "{folder}/garbage.pem",
        "--ssl-keyfile",
        "{folder}/one.key",
        change=certificates,
    ),
    case(
        "tls-key-of-another",
        "tls-unusable",
        "--ssl-certfile",
        "{folder}/one.crt",
        "--ssl-keyfile",
        "{folder}/two.key",
        change=certificates,
    ),
    case("model-impl-terratorch", "package-missing", "--model-impl", "terratorch"),
    case(
        "served-length-scheduler",
        "invalid-option",
        "--max-num-batched-tokens",
        "10",
        "--no-enable-chunked-prefill",
    ),
    case(
        "pooling-dimensions",
        "invalid-option",
        "--runner",
        "pooling",
        "--pooler-config",
        '{"fancy": 3}',
    ),
)
ADAPTERS = (
    case("adapter-rank-above", "adapter-unusable", *LORA, change=adapter(rank=64)),
    case(
        "adapter-config-cut",
        "adapter-unusable",
        *LORA,
        change=adapter(edit=cut("adapter_config.json", 0.5)),
    ),
    case(
        "adapter-weights-cut",
        "adapter-unusable",
        *LORA,
        change=adapter(edit=cut("adapter_model.safetensors", 0.5)),
    ),
    case(
        "adapter-weights-missing",
        "adapter-unusable",
        *LORA,
        change=adapter(edit=without("adapter_model.safetensors")),
    ),
    case(
        "adapter-of-other-modules",
        "adapter-unusable",
        *LORA,
        change=adapter(
            target_modules=["fancy_proj"],
            edit=renamed_adapter,
        ),
    ),
    case("adapter-with-dora", "adapter-unusable", *LORA, change=adapter(use_dora=True)),
    case("lora-none-at-once", "adapter-limit", "--enable-lora", "--max-loras", "0"),
    case("lora-rank-seven", "invalid-option", "--enable-lora", "--max-lora-rank", "7"),
    case(
        "lora-fewer-on-cpu",
        "adapter-limit",
        "--enable-lora",
        "--max-loras",
        "4",
        "--max-cpu-loras",
        "2",
    ),
    case("lora-modules-malformed", "invalid-option", "--enable-lora", "--lora-modules", "nameonly"),
)
VARIABLES = (
    case(
        "variable-logging-config-missing",
        "invalid-option",
        environ={"VLLM_LOGGING_CONFIG_PATH": "{folder}/nowhere.json"},
    ),
    case(
        "variable-logging-config-broken",
        "invalid-option",
        environ={"VLLM_LOGGING_CONFIG_PATH": "{folder}/l.json"},
        change=a_file("l.json", "{handlers"),
    ),
    case("variable-logging-level", "invalid-option", environ={"VLLM_LOGGING_LEVEL": "LOUD"}),
    case(
        "variable-cache-space-in-words",
        "invalid-option",
        environ={"VLLM_CPU_KVCACHE_SPACE": "four"},
    ),
    case(
        "variable-cpu-binding", "invalid-option", environ={"VLLM_CPU_OMP_THREADS_BIND": "900-920"}
    ),
    case(
        "variable-port-of-kubernetes",
        "invalid-option",
        "--tensor-parallel-size",
        "2",
        environ={"VLLM_PORT": "tcp://10.0.0.1:8000", "VLLM_CPU_OMP_THREADS_BIND": "0|1"},
    ),
    case(
        "variable-modelscope",
        "package-missing",
        environ={"VLLM_USE_MODELSCOPE": "1"},
        model="org/name",
    ),
)
MACHINE = (
    case("limit-address-space", "host-out-of-memory", limits={resource.RLIMIT_AS: 9 << 30}),
    case("limit-address-space-small", "host-out-of-memory", limits={resource.RLIMIT_AS: 3 << 30}),
    case("limit-data", "host-out-of-memory", limits={resource.RLIMIT_DATA: 2 << 30}),
    case("limit-files-60", "too-many-files", limits={resource.RLIMIT_NOFILE: 60}),
    case("limit-files-24", "too-many-files", limits={resource.RLIMIT_NOFILE: 24}),
    case(
        "limit-processes",
        "too-many-processes",
        limits={resource.RLIMIT_NPROC: 8},
        user=NOBODY,
        environ={"OMP_NUM_THREADS": "16"},
    ),
    case(
        "limit-processes-lower",
        "too-many-processes",
        limits={resource.RLIMIT_NPROC: 2},
        user=NOBODY,
    ),
    case(
        "temporary-folder-full",
        "disk-full",
        environ={"TMPDIR": "{folder}/full"},
        mounts="mkdir {folder}/full && mount -t tmpfs -o size=8k none {folder}/full && "
        "dd if=/dev/zero of={folder}/full/x bs=1k 2>/dev/null; true",
        compiled=True,
    ),
    case(
        "cache-root-read-only",
        "read-only-filesystem",
        environ={"VLLM_CACHE_ROOT": "{folder}/ro"},
        mounts="mkdir {folder}/ro && mount -t tmpfs -o ro none {folder}/ro",
        compiled=True,
    ),
    case(
        "shm-small",
        "shm-too-small",
        "--tensor-parallel-size",
        "2",
        environ={"VLLM_CPU_OMP_THREADS_BIND": "0|1"},
        mounts="mount -t tmpfs -o size=256k none /dev/shm",
    ),
    case(
        "compiler-variable-wrong",
        "no-compiler",
        environ={"CXX": "/nowhere/g++", "CC": "/nowhere/gcc"},
        compiled=True,
    ),
    case(
        "cache-of-another-user",
        "permission-denied",
        environ={
            "VLLM_CACHE_ROOT": "/root/vllm",
            "TORCHINDUCTOR_CACHE_DIR": "/root/inductor",
            "HOME": "/root",
        },
        user=NOBODY,
        compiled=True,
    ),
    case("port-in-use", "port-taken", "--host", "127.0.0.1", "--port", "{taken}"),
    case("port-in-use-everywhere", "port-taken", "--host", "0.0.0.0", "--port", "{taken}"),
    case("port-privileged", "port-taken", "--host", "127.0.0.1", "--port", "81", user=NOBODY),
    case("host-of-another-machine", "port-taken", "--host", "10.1.2.3", "--port", "{port}"),
    case(
        "host-without-address", "port-taken", "--host", "no-such-host.invalid", "--port", "{port}"
    ),
    case(
        "core-killed", "killed", kill=(signal.SIGKILL, "EngineCore", "Initializing a V1 LLM engine")
    ),
    case("core-bus-error", "killed", kill=(signal.SIGBUS, "EngineCore", "Starting to load model")),
    case(
        "core-illegal",
        "killed",
        kill=(signal.SIGILL, "EngineCore", "Starting to load model"),
    ),
    case("core-aborted", "killed", kill=(signal.SIGABRT, "EngineCore", "Starting to load model")),
    case("main-killed", "killed", kill=(signal.SIGKILL, "", "Initializing a V1 LLM engine")),
    case(
        "main-segfault",
        "segmentation-fault",
        kill=(signal.SIGSEGV, "", "Initializing a V1 LLM engine"),
    ),
    case(
        "library-hides-another",
        "library-broken",
        environ={"PYTHONPATH": "{folder}/extra"},
        change=a_file("extra/transformers.py", "__version__ = '4.0.0'\n"),
    ),
    case(
        "library-raises-at-import",
        "library-broken",
        environ={"PYTHONPATH": "{folder}/extra"},
        change=a_file(
            "extra/zmq.py",
            "raise ImportError('libzmq.so.9: cannot open shared object file: "
            "No such file or directory')\n",
        ),
    ),
    case(
        "library-lacks-a-name",
        "library-broken",
        environ={"PYTHONPATH": "{folder}/extra"},
        change=a_file("extra/msgspec.py", "x = 1\n"),
    ),
    case(
        "library-not-installed",
        "package-missing",
        environ={"PYTHONPATH": "{folder}/extra"},
        change=a_file(
            "extra/pydantic.py", "raise ModuleNotFoundError(\"No module named 'pydantic'\")\n"
        ),
    ),
)
HUBS = (
    *(
        case(f"hub-{name}", kind, model=f"org/{name}", environ=HUB)
        for name, kind in {
            "denied": "gated-model",
            "forbidden": "gated-model",
            "missing": "model-missing",
            "broken": "hub-unreachable",
            "busy": "hub-unreachable",
        }.items()
    ),
    case(
        "hub-closed-port",
        "hub-unreachable",
        model="org/name",
        environ={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
    ),
    case(
        "hub-name-unknown",
        "hub-unreachable",
        model="org/name",
        environ={"HF_ENDPOINT": "http://hub.invalid", "HF_HUB_OFFLINE": "0"},
    ),
    case(
        "hub-proxy-closed",
        "hub-unreachable",
        model="org/name",
        environ={
            "HF_ENDPOINT": "https://huggingface.co",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HF_HUB_OFFLINE": "0",
        },
    ),
    case("hub-switched-off", "model-missing", model="org/name"),
    case("hub-name-malformed", "model-missing", model="org/name/more"),
)
MORE_OPTIONS = (
    case("tokens-in-a-batch-zero", "invalid-option", "--max-num-batched-tokens", "0"),
    case("logprobs-negative", "invalid-option", "--max-logprobs", "-5"),
    case("offload-negative", "invalid-option", "--cpu-offload-gb", "-1"),
    case("block-size-negative", "invalid-option", "--block-size", "-1"),
    case("replicas-zero", "invalid-option", "--data-parallel-size", "0"),
    case("reasoning-parser-without-tokens", "invalid-option", "--reasoning-parser", "deepseek_r1"),
    case("content-format-unknown", "invalid-option", "--chat-template-content-format", "fancy"),
    case("template-arguments-of-no-json", "invalid-option", "--default-chat-template-kwargs", "{a"),
    case("policy-unknown", "invalid-option", "--scheduling-policy", "fancy"),
    case("scheduler-missing", "package-missing", "--scheduler-cls", "nope.Scheduler"),
    case("scheduler-without-module", "invalid-option", "--scheduler-cls", "vllm.config.Nope"),
    case("worker-extension-missing", "package-missing", "--worker-extension-cls", "nope.Thing"),
    case("level-nine", "invalid-option", "-O9"),
    case("load-format-unknown", "invalid-option", "--load-format", "fancy"),
    case("loader-options-of-no-json", "invalid-option", "--model-loader-extra-config", "{a"),
    case("loader-option-unknown", "invalid-option", "--model-loader-extra-config", '{"fancy": 1}'),
    case("generation-of-no-json", "invalid-option", "--override-generation-config", "{a"),
    case("events-key-unknown", "invalid-option", "--kv-events-config", '{"fancy": 1}'),
    case("blocks-one", "no-memory-for-cache", "--num-gpu-blocks-override", "1"),
    case("rank-of-node-above", "invalid-option", "--nnodes", "2", "--node-rank", "3"),
    case("replica-backend-unknown", "invalid-option", "--data-parallel-backend", "fancy"),
    case("context-parallel-three", "invalid-option", "--decode-context-parallel-size", "3"),
    case("load-balancing-of-experts", "invalid-option", "--enable-eplb"),
    case("partial-prefills-negative", "invalid-option", "--max-num-partial-prefills", "-3"),
    case(
        "draft-of-eagle-is-plain",
        "weights-mismatch",
        "--speculative-config",
        '{"method": "eagle", "model": "{model}", "num_speculative_tokens": 2}',
    ),
    case(
        "draft-of-mtp",
        "invalid-option",
        "--speculative-config",
        '{"method": "mtp", "num_speculative_tokens": 2}',
    ),
    case("log-level-unknown", "invalid-option", "--uvicorn-log-level", "loud"),
    case("port-above", "invalid-option", "--port", "70000"),
    case("seed-in-words", "invalid-option", "--seed", "random"),
    case("shards-in-words", "invalid-option", "--tensor-parallel-size", "auto"),
    case("length-in-words", "invalid-option", "--max-model-len", "long"),
    case("quantization-not-a-choice", "quantization-unsupported", "--quantization", "fancy"),
    case("embedding-dimensions", "invalid-option", "--hf-overrides", "[1]"),
    case("classify-a-generator", "invalid-option", "--convert", "fancy"),
    case("profiler-key-unknown", "invalid-option", "--profiler-config", '{"fancy": 1}'),
    case("served-by-middleware-without-name", "invalid-option", "--middleware", "json.Nope"),
    case(
        "parser-of-mistral",
        "tokenizer-unusable",
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "mistral",
        "--tokenizer-mode",
        "mistral",
    ),
)
MORE_FILES = (
    case("config-length-zero", "invalid-option", change=values(max_position_embeddings=0)),
    case("config-length-in-words", "config-unusable", change=values(max_position_embeddings="2k")),
    case("config-kv-heads-three", "config-unusable", change=values(num_key_value_heads=3)),
    case("config-epsilon-in-words", "config-unusable", change=values(rms_norm_eps="small")),
    case("config-vocabulary-missing", "config-unusable", change=values(vocab_size="all")),
    case("config-architectures-a-text", "config-unusable", change=values(architectures="Llama")),
    case("config-rope-a-number", "config-unusable", change=values(rope_scaling=5)),
    case(
        "config-quantization-a-text", "config-unusable", change=values(quantization_config="gptq")
    ),
    case("config-with-a-comment", "config-unusable", change=text("config.json", "// comment\n{}")),
    case("config-of-single-quotes", "config-unusable", change=text("config.json", "{'a': 1}")),
    case("config-an-error-page", "config-unusable", change=text("config.json", "<html></html>")),
    case("config-binary", "config-unusable", change=text("config.json", bytes(range(256)))),
    case(
        "weights-of-numbers",
        "weights-mismatch",
        change=tensors(lambda t: {k: v.flatten()[:4].clone() for k, v in t.items()}),
    ),
    case(
        "weights-without-tensors",
        "weights-mismatch",
        change=tensors(lambda t: {"a": t["model.norm.weight"].clone()}),
    ),
    case("weights-header-only", "weights-corrupt", change=cut("model.safetensors", 0.01)),
    case(
        "weights-of-two-layers",
        "weights-mismatch",
        change=tensors(lambda t: {k: v for k, v in t.items() if ".layers.2." not in k}),
    ),
    case("weights-index-of-no-json", "weights-corrupt", change=sharded(index="{")),
    case("weights-index-without-map", "weights-corrupt", change=sharded(index="{}")),
    case(
        "weights-only-of-meta",
        "model-missing",
        change=all_of(without("model.safetensors"), text("consolidated.00.pth", b"x" * 100)),
    ),
    case(
        "tokenizer-of-unknown-model",
        "tokenizer-unusable",
        change=text(
            "tokenizer.json", '{"version": "1.0", "model": {"type": "Fancy", "vocab": {}}}'
        ),
    ),
    case(
        "tokenizer-binary", "tokenizer-unusable", change=text("tokenizer.json", bytes(range(256)))
    ),
    case(
        "tokenizer-config-a-list", "tokenizer-unusable", change=text("tokenizer_config.json", "[]")
    ),
    case("tokenizer-removed", "tokenizer-unusable", change=without("tokenizer.json")),
    case(
        "vision-of-qwen",
        "package-missing",
        *DUMMY,
        change=values(architectures=["Qwen2VLForConditionalGeneration"], model_type="qwen2_vl"),
    ),
    case(
        "code-with-missing-import",
        "remote-code-failed",
        "--trust-remote-code",
        change=code(
            "from .helper import x\n" + DEMO_CONFIG,
            helper__py="from transformers import NopeModel\n",
        ),
    ),
    case(
        "code-with-a-wrong-name",
        "remote-code-failed",
        "--trust-remote-code",
        change=code(DEMO_CONFIG + "        self.size = undefined_name\n"),
    ),
    case(
        "code-with-an-old-signature",
        "config-unusable",
        "--trust-remote-code",
        change=code(DEMO_CONFIG + "        super().__init__(1, 2, 3)\n"),
    ),
    case(
        "adapter-a-file",
        "adapter-unusable",
        "--enable-lora",
        "--lora-modules",
        "one={model}/config.json",
    ),
    case("adapter-rank-zero", "adapter-unusable", *LORA, change=adapter(r=0)),
    case("adapter-with-bias", "adapter-unusable", *LORA, change=adapter(bias="all")),
    case(
        "adapter-from-the-hub",
        "adapter-unusable",
        "--enable-lora",
        "--lora-modules",
        "one=org/name",
    ),
)
CASES = (
    *MORE_OPTIONS,
    *MORE_FILES,
    *WEIGHTS,
    *CONFIG,
    *TOKENIZER,
    *CODE,
    *OPTIONS,
    *ADAPTERS,
    *VARIABLES,
    *MACHINE,
    *HUBS,
)
"""All cases. Their kinds were written down before the logs were produced."""


def copy_model(source: Path, folder: Path) -> Path:
    """Copy a snapshot's files, without links."""
    return Path(shutil.copytree(source, folder / "model", symlinks=False))
