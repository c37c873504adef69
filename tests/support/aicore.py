"""The templates of deploy/aicore, with their placeholders filled in as the platform does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.deploy_files import DEPLOY

AICORE = DEPLOY / "aicore"
NAMES = ("object-store", "hugging-face")
ARTIFACTS = {"textmodel": "s3://bucket/models/falcon/1e7fdcc/tiiuae--falcon-40b-instruct.tar"}

FALCON = "tiiuae/falcon-40b-instruct"
FALCON_COMMIT = "1e7fdcc9f45d13704f3826e99937917e007cd975"

OF_THE_GUIDES = {
    "image": "<your-repository>/inference-server:0.1.7",
    "resourcePlan": "infer2.4xl",
    "modelId": FALCON,
    "minReplicas": "1",
    "maxReplicas": "1",
    "portNumber": "9000",
    "disablekernel": "false",
    "trustRemoteCode": "true",
    "revision": FALCON_COMMIT,
    "gpu": "4",
    "huggingFaceOffline": "1",
    "disableTelemetry": "1",
    "additionalArgument": "--gpu-memory-utilization=0.93",
    "modelName": "",
}
"""The bindings of the request that older guides publish, with its misspelling."""

PARAMETERS_OF_THE_GUIDES = (set(OF_THE_GUIDES) - {"disablekernel"}) | {"disableKernel"}

RESERVED_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}


def template(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((AICORE / f"{name}.yaml").read_text())
    return found


class Rendered:
    """A template, its placeholders filled in."""

    def __init__(self, name: str, bound: dict[str, str]) -> None:
        document = template(name)
        inputs = document["spec"]["inputs"]
        self.values = {each["name"]: each.get("default") for each in inputs["parameters"]}
        assert set(bound) <= set(self.values), "the platform refuses a binding without parameter"
        self.values |= bound
        self.artifacts = [each["name"] for each in inputs.get("artifacts", [])]
        inside = document["spec"]["template"]
        metadata = inside["metadata"]
        self.annotations = yaml.safe_load(self._fill(metadata["annotations"]))
        self.labels = yaml.safe_load(self._fill(metadata["labels"]))
        self.predictor = yaml.safe_load(self._fill(inside["spec"]))["predictor"]
        [self.container] = self.predictor["containers"]

    def _fill(self, text: str) -> str:
        assert isinstance(text, str), "the platform requires a multiline string"
        for name, value in self.values.items():
            text = text.replace(f"{{{{inputs.parameters.{name}}}}}", value)
        for name in self.artifacts:
            text = text.replace(f"{{{{inputs.artifacts.{name}}}}}", ARTIFACTS[name])
        assert "{{inputs." not in text
        return text

    @property
    def port(self) -> int:
        [port] = self.container["ports"]
        number: int = port["containerPort"]
        return number

    def environment(self, root: Path) -> dict[str, str]:
        """What the container gets, its model's folder under ``root``, and what the image sets."""
        environ = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HOME": str(root)}
        for each in self.container["env"]:
            if "value" in each:
                environ[each["name"]] = each["value"]
            else:
                assert each["valueFrom"]["secretKeyRef"]["name"] == "hugging-face"
                environ[each["name"]] = "token"
        environ["HUGGINGFACE_HUB_CACHE"] = str(root) + environ["HUGGINGFACE_HUB_CACHE"]
        return environ

    def cache(self, root: Path) -> Path:
        return Path(self.environment(root)["HUGGINGFACE_HUB_CACHE"])
