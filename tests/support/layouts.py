"""Folders with a model as people have them: what vLLM's loader makes of each, and what we state.

The table is used twice: with files that only look like weights, and with real weights of a tiny
Llama that vLLM's own loaders read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.models import pickled, safetensors

HIDDEN = 64
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": HIDDEN,
    "max_position_embeddings": 64,
    "torch_dtype": "float32",
    "tie_word_embeddings": False,
}
MATRICES = (
    "model.embed_tokens",
    *(f"model.layers.0.self_attn.{name}_proj" for name in "qkvo"),
    *(f"model.layers.0.mlp.{name}_proj" for name in ("gate", "up", "down")),
    "lm_head",
)
VECTORS = (
    "model.layers.0.input_layernorm",
    "model.layers.0.post_attention_layernorm",
    "model.norm",
)
SHAPES = {f"{name}.weight": (HIDDEN, HIDDEN) for name in MATRICES} | {
    f"{name}.weight": (HIDDEN,) for name in VECTORS
}


@dataclass(frozen=True)
class Weights:
    """The content of a weight file: these tensors of the tiny Llama, in the format of its name."""

    tensors: tuple[str, ...]
    prefix: str = ""


ALL = Weights(tuple(SHAPES))
FIRST = Weights(tuple(SHAPES)[:6])
SECOND = Weights(tuple(SHAPES)[6:])
ADAPTER = Weights(tuple(SHAPES)[:6], "base_model.model.")
Files = Mapping[str, bytes | Weights]
Encode = Callable[[str, Weights], bytes]

ONE, TWO = (f"model-{number:05d}-of-00002.safetensors" for number in (1, 2))
BIN_ONE, BIN_TWO = (f"pytorch_model-{number:05d}-of-00002.bin" for number in (1, 2))
INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
CONSOLIDATED_INDEX = "consolidated.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n"


def index_of(first: str, second: str) -> bytes:
    """Return an index of all weights in two files."""
    weight_map = dict.fromkeys(FIRST.tensors, first) | dict.fromkeys(SECOND.tensors, second)
    return json.dumps({"weight_map": weight_map}).encode()


@dataclass(frozen=True)
class Layout:
    """A folder, what vLLM's loader makes of it, and what we state.

    Attributes:
        name: What is special about it.
        files: Its files, besides ``config.json``.
        expected: What our error states; None if vLLM loads the model and there is no error.
        load_format: ``--load-format``.
    """

    name: str
    files: Files
    expected: str | None = None
    load_format: str = "auto"

    def write(self, folder: Path, encode: Encode) -> Path:
        """Write the folder; ``encode`` makes a weight file of a name and its tensors."""
        config = {"config.json": json.dumps(CONFIG).encode()}
        for name, content in {**config, **self.files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(name, content) if isinstance(content, Weights) else content)
        return folder


def look_alike(name: str, weights: Weights) -> bytes:
    """Return content that looks like weights to those who do not read the tensors."""
    return safetensors() if name.lower().endswith(".safetensors") else pickled()


SHARDS: Files = {ONE: FIRST, TWO: SECOND}
STALE = f"remove {INDEX}"

LAYOUTS = (
    # safetensors
    Layout("one file", {"model.safetensors": ALL}),
    Layout("any name", {"weights-merged.safetensors": ALL}),
    Layout("shards and index", {**SHARDS, INDEX: index_of(ONE, TWO)}),
    Layout("shards without index", SHARDS),
    Layout("a shard of the index is missing", {ONE: FIRST, INDEX: index_of(ONE, TWO)}, TWO),
    Layout("a shard is missing without index", {ONE: FIRST}, f"{TWO} (missing"),
    Layout(
        "one file and the index of absent shards",
        {"model.safetensors": ALL, INDEX: index_of(ONE, TWO)},
        STALE,
    ),
    Layout("one file and a stale shard", {"model.safetensors": ALL, ONE: FIRST}),
    Layout(
        "an index without damaged shards",
        {"model.safetensors": ALL, ONE: b"", INDEX: index_of(*["model.safetensors"] * 2)},
    ),
    Layout("an empty shard", {**SHARDS, TWO: b""}, f"{TWO} (empty"),
    Layout("a damaged index", {"model.safetensors": ALL, INDEX: b"{"}, "not valid JSON"),
    Layout("an empty index", {"model.safetensors": ALL, INDEX: b""}, f"{INDEX} (empty"),
    Layout("an index of nothing", {"model.safetensors": ALL, INDEX: b"{}"}, "not an object"),
    Layout(
        "an index of no weights",
        {"model.safetensors": ALL, INDEX: b'{"weight_map": {}}'},
        "lists no weights",
    ),
    Layout(
        "an index of a subfolder",
        {"sub/model.safetensors": ALL, INDEX: index_of(*["sub/model.safetensors"] * 2)},
        "not in the folder itself",
    ),
    Layout("a Git LFS pointer", {"model.safetensors": POINTER}, "git lfs pull"),
    Layout("upper case", {"MODEL.SAFETENSORS": ALL}, "mv "),
    Layout("a file of macOS", {"model.safetensors": ALL, "._model.safetensors": b"x"}),
    Layout("a download that was cut", {"model.safetensors.part": b"x"}, "an incomplete download"),
    Layout("no weights", {}, "no weight file"),
    # pickles
    Layout("bin", {"pytorch_model.bin": ALL}),
    Layout(
        "bin in shards", {BIN_ONE: FIRST, BIN_TWO: SECOND, BIN_INDEX: index_of(BIN_ONE, BIN_TWO)}
    ),
    Layout(
        "a bin shard is missing",
        {BIN_ONE: FIRST, BIN_INDEX: index_of(BIN_ONE, BIN_TWO)},
        f"{BIN_TWO} (missing",
    ),
    Layout(
        "one bin and the index of absent shards",
        {"pytorch_model.bin": ALL, BIN_INDEX: index_of(BIN_ONE, BIN_TWO)},
    ),
    Layout(
        "bin and an index for safetensors", {"pytorch_model.bin": ALL, INDEX: index_of(ONE, TWO)}
    ),
    Layout(
        "a damaged bin beside safetensors", {"model.safetensors": ALL, "pytorch_model.bin": POINTER}
    ),
    Layout("a bin part beside safetensors", {"model.safetensors": ALL, BIN_ONE: b""}),
    Layout("a damaged bin index", {"model.safetensors": ALL, BIN_INDEX: b"{"}),
    Layout("bin is a web page", {"pytorch_model.bin": b"<!DOCTYPE html>"}, "not a PyTorch file"),
    Layout("bin is a GGUF file", {"pytorch_model.bin": b"GGUF\3\0\0\0"}, "not a PyTorch file"),
    Layout("bin was cut", {"pytorch_model.bin": b"PK\3\4" + bytes(99)}, "truncated"),
    Layout("bin and a trainer's files", {"pytorch_model.bin": ALL, "training_args.bin": b"x"}),
    Layout(
        "bin and an unknown pickle", {"pytorch_model.bin": ALL, "rng.bin": b"x"}, "rng.bin (not a"
    ),
    Layout(
        "a trainer's bin hides a pt file",
        {"training_args.bin": b"x", "model.pt": ALL},
        "training_args.bin",
    ),
    Layout("pt", {"model.pt": ALL}),
    # adapters
    Layout(
        "an adapter beside the model",
        {"model.safetensors": ALL, "adapter_model.safetensors": ADAPTER},
        "Move these files to another folder",
    ),
    Layout(
        "an adapter that the index leaves out",
        {
            "model.safetensors": ALL,
            "adapter_model.safetensors": ADAPTER,
            INDEX: index_of(*["model.safetensors"] * 2),
        },
    ),
    Layout(
        "an adapter hides bin weights",
        {"pytorch_model.bin": ALL, "adapter_model.safetensors": ADAPTER},
        "adapter_model.safetensors",
    ),
    Layout(
        "only an adapter",
        {
            "adapter_model.safetensors": ADAPTER,
            "adapter_config.json": b'{"r": 8, "base_model_name_or_path": "o/b"}',
        },
        "MODEL_ID=o/b",
    ),
    # Mistral's format
    Layout("consolidated", {"consolidated.safetensors": ALL}),
    Layout("both formats", {"consolidated.safetensors": ALL, **SHARDS, INDEX: index_of(ONE, TWO)}),
    Layout(
        "consolidated beside damaged shards",
        {"consolidated.safetensors": ALL, ONE: b"", INDEX: index_of(ONE, TWO)},
    ),
    Layout(
        "consolidated in a subfolder",
        {"model.safetensors": ALL, "original/consolidated.safetensors": ALL},
        "--load-format hf",
    ),
    Layout(
        "consolidated in a subfolder, format hf",
        {"model.safetensors": ALL, "original/consolidated.safetensors": ALL},
        load_format="hf",
    ),
    Layout(
        "a consolidated shard is missing",
        {
            "consolidated-1.safetensors": FIRST,
            CONSOLIDATED_INDEX: index_of(
                "consolidated-1.safetensors", "consolidated-2.safetensors"
            ),
        },
        "consolidated-2.safetensors (missing",
    ),
    # --load-format
    Layout("format mistral", {"consolidated.safetensors": ALL}, load_format="mistral"),
    Layout(
        "format mistral without consolidated",
        {"model.safetensors": ALL},
        "no weight file in Mistral's format",
        "mistral",
    ),
    Layout("format safetensors", {"model.safetensors": ALL}, load_format="safetensors"),
    Layout("format safetensors, only bin", {"pytorch_model.bin": ALL}, "no weight", "safetensors"),
    Layout("format pt", {"model.pt": ALL}, load_format="pt"),
    Layout("format pt, only bin", {"pytorch_model.bin": ALL}, "in pt format", "pt"),
    Layout("format npcache", {"pytorch_model.bin": ALL}, load_format="npcache"),
    Layout("format npcache, only safetensors", {"model.safetensors": ALL}, "in bin", "npcache"),
    Layout("format dummy", {}, load_format="dummy"),
    Layout("format dummy, damaged", {"model.safetensors": b"", INDEX: b"{"}, load_format="dummy"),
    Layout("format sharded_state", {"model.safetensors": ALL}, "of a rank", "sharded_state"),
    # formats without a loader
    Layout("GGUF", {"model-Q4_K_M.gguf": b"GGUF"}, "gguf_file='model-Q4_K_M.gguf'"),
    Layout("Meta's format", {"consolidated.00.pth": ALL, "params.json": b"{}"}, "convert_llama"),
    Layout("Meta's format below", {"model.safetensors": ALL, "original/consolidated.00.pth": ALL}),
    Layout("Flax", {"flax_model.msgpack": b"x"}, "from_flax=True"),
    Layout("TensorFlow", {"tf_model.h5": b"x"}, "from_tf=True"),
    Layout("TensorFlow 1", {"model.ckpt-9.index": b"x", "model.ckpt-9.meta": b"x"}, "TensorFlow"),
    Layout("ONNX", {"onnx/model.onnx": b"x"}, "an ONNX model"),
    Layout("ONNX beside safetensors", {"model.safetensors": ALL, "onnx/model.onnx": b""}),
    Layout("MLX", {"weights.npz": b"x"}, "MLX"),
    Layout("MLC", {"mlc-chat-config.json": b"{}", "params_shard_0.bin": b"\1"}, "MLC"),
    Layout("CTranslate2", {"model.bin": b"\6\0", "shared_vocabulary.json": b"[]"}, "CTranslate2"),
    Layout("OpenVINO", {"openvino_model.xml": b"<", "openvino_model.bin": b"\1"}, "OpenVINO image"),
    Layout("TensorRT-LLM", {"rank0.engine": b"x"}, "TensorRT-LLM"),
    Layout("Core ML", {"model.mlpackage/Manifest.json": b"{}"}, "Core ML"),
    Layout("NeMo", {"model.nemo": b"x"}, "NeMo"),
    Layout("Lightning", {"last.ckpt": b"x"}, "Lightning"),
    Layout("tensorizer", {"model.tensors": b"x"}, "--load-format tensorizer"),
    Layout("FSDP", {"pytorch_model_fsdp_0/__0_0.distcp": b"x"}, "accelerate merge-weights"),
    Layout("FSDP in one file", {"pytorch_model_fsdp.pth": ALL}, "accelerate merge-weights"),
    Layout(
        "DeepSpeed",
        {"global_step9/mp_rank_00_model_states.pt": b"x", "zero_to_fp32.py": b"", "latest": b""},
        "zero_to_fp32.py",
    ),
    Layout("Megatron", {"iter_0000100/mp_rank_00/model_optim_rng.pt": b"x"}, "Megatron"),
    Layout("diffusers", {"model_index.json": b"{}", "unet/config.json": b"{}"}, "diffusers"),
    Layout(
        "a trainer's checkpoint below",
        {"checkpoint-500/config.json": b"{}", "checkpoint-500/model.safetensors": ALL},
        "/checkpoint-500.",
    ),
)
"""Each of them has the ``config.json`` of the tiny Llama."""
