"""Models that vLLM has no loader for: how to recognize each format, and what to do with it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ORIGINAL = "Serve the model that it was made from, in safetensors format."
TO_SAFETENSORS = (
    "Load it with the program that wrote it, and save it with transformers: "
    "model.save_pretrained(FOLDER)."
)


@dataclass(frozen=True, slots=True)
class Format:
    """A format that vLLM does not load.

    Attributes:
        name: What the folder holds, after "it holds".
        marks: Patterns for names. One that ends in ``/`` is for folders. A file or folder that
            matches identifies the format.
        fix: What to do. ``{place}`` is the folder, ``{file}`` the file that matched.
    """

    name: str
    marks: tuple[str, ...]
    fix: str


FORMATS: tuple[Format, ...] = (
    Format(
        "weights of several ranks, saved for --load-format sharded_state",
        ("model-rank-[1-9]*-part-*.safetensors", "model-pp-*-tp-*-part-*.safetensors"),
        'Set ARG="--load-format sharded_state", and NUM_SHARD to the number of ranks that saved '
        "it.",
    ),
    Format(
        "weights in GGUF, llama.cpp's format",
        ("*.gguf", "*.ggml", "ggml-model*.bin", "*.llamafile"),
        f"{ORIGINAL} Or convert the GGUF file with transformers and the package gguf: "
        'python -c "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; '
        "M.from_pretrained({place!r}, gguf_file={file!r}).save_pretrained({target!r}); "
        'T.from_pretrained({place!r}, gguf_file={file!r}).save_pretrained({target!r})"',
    ),
    Format("a model of Ollama", ("blobs/sha256-*",), ORIGINAL),
    Format(
        "weights in Meta's own format",
        ("consolidated.*.pth",),
        "Serve the same model in safetensors format, which Meta publishes on the hub too. Or "
        "convert it with transformers 4: python -m "
        "transformers.models.llama.convert_llama_weights_to_hf --input_dir {quoted} --output_dir "
        "{quoted_target} --model_size 8B --llama_version 3.1 (with this model's size and version)",
    ),
    Format(
        "an OpenVINO model",
        ("openvino_model.xml", "openvino_language_model.xml"),
        "Serve it with the OpenVINO image, which has ACCELERATOR=openvino.",
    ),
    Format(
        "an image generation pipeline of diffusers",
        ("model_index.json",),
        "Set MODEL_ID to a language model, which is what this server serves.",
    ),
    Format(
        "shards of a distributed training checkpoint (FSDP)",
        ("*.distcp", "*/*.distcp", "pytorch_model_fsdp*"),
        "Merge them with accelerate: accelerate merge-weights {quoted}/pytorch_model_fsdp_0 "
        "{quoted_target}. Then copy config.json and the tokenizer there.",
    ),
    Format(
        "shards of a DeepSpeed checkpoint",
        ("zero_to_fp32.py", "global_step*/", "*zero_pp_rank*", "*_optim_states.pt"),
        "Merge them: python {quoted}/zero_to_fp32.py {quoted} {quoted_target} "
        "--safe_serialization. Then copy config.json and the tokenizer there.",
    ),
    Format(
        "a Megatron checkpoint",
        ("latest_checkpointed_iteration.txt", "mp_rank_*/", "iter_*/", "*/mp_rank_*/"),
        "Convert it to Hugging Face format with Megatron's or NeMo's converter.",
    ),
    Format("a NeMo archive", ("*.nemo",), "Convert it with NeMo: nemo.export to Hugging Face."),
    Format(
        "a TensorRT-LLM engine",
        ("*.engine", "*.plan"),
        "Serve the model that the engine was built from, in safetensors format.",
    ),
    Format("weights for MLC", ("mlc-chat-config.json", "params_shard_*.bin"), ORIGINAL),
    Format(
        "weights for CTranslate2",
        ("shared_vocabulary.*", "vocabulary.json", "vocabulary.txt"),
        ORIGINAL,
    ),
    Format("weights for MLX", ("*.npz",), ORIGINAL),
    Format("a Core ML model", ("*.mlmodel", "*.mlpackage/", "*.mlmodelc/"), ORIGINAL),
    Format("a LiteRT model", ("*.tflite", "*.litertlm", "*.task"), ORIGINAL),
    Format("an ONNX model", ("*.onnx", "onnx/*.onnx"), ORIGINAL),
    Format(
        "weights for Flax",
        ("flax_model*.msgpack", "*.msgpack"),
        f"{ORIGINAL} Or convert them with transformers 4: AutoModelForCausalLM.from_pretrained("
        "{place!r}, from_flax=True).save_pretrained({target!r})",
    ),
    Format(
        "weights for TensorFlow",
        ("*.h5", "*.ckpt-*.index", "*.ckpt.index", "*.ckpt*.meta", "saved_model.pb"),
        f"{ORIGINAL} Or convert them with transformers 4: AutoModelForCausalLM.from_pretrained("
        "{place!r}, from_tf=True).save_pretrained({target!r})",
    ),
    Format(
        "weights for tensorizer",
        ("*.tensors",),
        'Set ARG="--load-format tensorizer --model-loader-extra-config '
        '\'{{\\"tensorizer_config\\": {{\\"tensorizer_uri\\": \\"{place}/{file}\\"}}}}\'".',
    ),
    Format("a PyTorch Lightning checkpoint", ("*.ckpt",), TO_SAFETENSORS),
    Format("weights in a PyTorch file that vLLM does not look for", ("*.pth",), TO_SAFETENSORS),
)
"""The first match counts, so the specific ones come first."""


def find_format(names: Collection[str]) -> tuple[Format, str] | None:
    """Return the format of a model without weights for vLLM, and the file that shows it."""
    folders = {name[: place + 1] for name in names for place in _slashes(name)}
    for known in FORMATS:
        for mark in known.marks:
            among = folders if mark.endswith("/") else names
            depth = mark.count("/")
            found = sorted(
                name for name in among if name.count("/") == depth and fnmatchcase(name, mark)
            )
            if found:
                return known, found[0]
    return None


def _slashes(name: str) -> Sequence[int]:
    return [place for place, letter in enumerate(name) if letter == "/"]


def fix_for(known: Format, place: Path, file: str) -> str:
    """Return what to do with a model in this format."""
    target = f"{place}-hf"
    return known.fix.format(
        place=str(place),
        file=file,
        target=target,
        quoted=shlex.quote(str(place)),
        quoted_target=shlex.quote(target),
    )
