"""deploy/aicore: the platform accepts each rendered template, and its environment plans a launch.

The tests do the platform's part: fill in the placeholders, parse the result, put the artifact on
/mnt/models as KServe does, and set PORT as Knative does.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import ModelNotFound, RevisionNotFound
from entrypoint.launch import plan_launch, read_inputs
from entrypoint.planning.plan import LaunchPlan
from entrypoint.settings import all_variables
from entrypoint.store.search.find import find_model
from tests.support.aicore import (
    AICORE,
    FALCON,
    FALCON_COMMIT,
    NAMES,
    OF_THE_GUIDES,
    PARAMETERS_OF_THE_GUIDES,
    RESERVED_PORTS,
    Rendered,
    template,
)
from tests.support.deploy_files import ROOT
from tests.support.models import pack_with_gnu_tar, write_snapshot
from tests.support.samples import CUDA, value_of

PAGE = ROOT / "docs" / "sap-ai-core.md"
PREDICTOR = {"imagePullSecrets", "minReplicas", "maxReplicas", "terminationGracePeriodSeconds"} | {
    "containers",
    "containerConcurrency",
    "timeout",
    "volumes",
}
"""The fields that the platform documents; it documents volumes on its page about secrets."""

ANNOTATIONS = {
    "metric",
    "target",
    "targetBurstCapacity",
    "window",
    "scaleToZeroPodRetentionPeriod",
    "scale-down-delay",
}
RESERVED = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
"""Variables that Knative does not allow a template to set."""


def request(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((AICORE / f"configuration-{name}.json").read_text())
    return found


def bindings(name: str) -> dict[str, str]:
    """Return the parameter bindings of our request."""
    return {each["key"]: each["value"] for each in request(name)["parameterBindings"]}


def plan_on(gpus: int, environ: dict[str, str]) -> LaunchPlan:
    """Plan a launch on a machine with some GPUs."""
    inputs = replace(read_inputs(environ), hardware=replace(CUDA, count=gpus))
    return inputs.plan(find_model(inputs.request))


@pytest.mark.parametrize("name", NAMES)
class TestTemplate:
    def test_it_has_the_fields_that_the_platform_requires(self, name: str) -> None:
        document = template(name)
        assert document["apiVersion"] == "ai.sap.com/v1alpha1"
        assert document["kind"] == "ServingTemplate"
        metadata = document["metadata"]
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", metadata["name"])
        assert metadata["annotations"]["scenarios.ai.sap.com/name"]
        assert metadata["annotations"]["executables.ai.sap.com/name"]
        assert metadata["labels"]["scenarios.ai.sap.com/id"]
        assert metadata["labels"]["ai.sap.com/version"]
        inputs = document["spec"]["inputs"]
        assert inputs["parameters"]
        assert {each["type"] for each in inputs["parameters"]} == {"string"}
        assert all(isinstance(each["default"], str) for each in inputs["parameters"])
        for artifact in inputs.get("artifacts", []):
            assert re.fullmatch(r"[A-Za-z0-9]+", artifact["name"])
        assert document["spec"]["template"]["apiVersion"] == "serving.kserve.io/v1beta1"

    def test_it_has_every_parameter_of_the_guides(self, name: str) -> None:
        there = {each["name"] for each in template(name)["spec"]["inputs"]["parameters"]}
        assert there - {"disablekernel"} == PARAMETERS_OF_THE_GUIDES

    def test_every_parameter_but_the_two_without_effect_is_used(self, name: str) -> None:
        text = (AICORE / f"{name}.yaml").read_text()
        declared = {each["name"] for each in template(name)["spec"]["inputs"]["parameters"]}
        used = set(re.findall(r"\{\{inputs\.parameters\.(\w+)\}\}", text))
        assert declared - used == {"disableKernel", "disablekernel"}

    def test_no_two_templates_have_the_same_name(self, name: str) -> None:
        assert [template(each)["metadata"]["name"] for each in NAMES].count(
            template(name)["metadata"]["name"]
        ) == 1

    @pytest.mark.parametrize("bound", ["defaults", "ours", "the guides'"])
    def test_a_rendered_template_follows_the_platforms_rules(
        self, name: str, bound: str, tmp_path: Path
    ) -> None:
        rendered = Rendered(
            name,
            {"defaults": {}, "ours": bindings(name), "the guides'": OF_THE_GUIDES}[bound],
        )
        assert set(rendered.predictor) <= PREDICTOR
        assert rendered.labels["ai.sap.com/resourcePlan"] == rendered.values["resourcePlan"]
        assert set(rendered.annotations) <= {f"autoscaling.knative.dev/{n}" for n in ANNOTATIONS}
        assert isinstance(rendered.predictor["minReplicas"], int)
        assert rendered.predictor["minReplicas"] <= rendered.predictor["maxReplicas"]
        security = rendered.container["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (65534, 65534)
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        volumes = {each["name"]: each["emptyDir"] for each in rendered.predictor["volumes"]}
        mounts = {each["mountPath"]: each["name"] for each in rendered.container["volumeMounts"]}
        assert set(mounts.values()) == set(volumes)
        assert volumes[mounts["/dev/shm"]] == {"medium": "Memory"}
        assert volumes[mounts["/tmp"]] == {}
        names = [each["name"] for each in rendered.container["env"]]
        assert len(set(names)) == len(names)
        assert not set(names) & RESERVED
        assert set(names) <= set(all_variables())
        assert all(isinstance(each.get("value", ""), str) for each in rendered.container["env"])
        assert rendered.port == 9000
        assert rendered.port not in RESERVED_PORTS
        for probe in ("readinessProbe", "livenessProbe"):
            asked = rendered.container[probe]["httpGet"]
            assert asked["path"].startswith("/v1/health/")
            assert asked["port"] == rendered.port
        assert "startupProbe" not in rendered.container  # Knative may refuse it

    def test_the_drain_ends_within_the_grace_period(self, name: str, tmp_path: Path) -> None:
        rendered = Rendered(name, OF_THE_GUIDES)
        plan = self.planned(rendered, tmp_path, FALCON, FALCON_COMMIT)
        grace = rendered.predictor["terminationGracePeriodSeconds"]
        assert plan.shutdown_timeout + 2 < grace

    def test_the_guides_request_can_be_planned(self, name: str, tmp_path: Path) -> None:
        rendered = Rendered(name, OF_THE_GUIDES)
        plan = self.planned(rendered, tmp_path, FALCON, FALCON_COMMIT)
        assert plan.model.revision == FALCON_COMMIT
        assert plan.served_model_names == ("tiiuae--falcon-40b-instruct", FALCON)
        assert value_of(plan, "--tensor-parallel-size") == ["4"]
        assert value_of(plan, "--gpu-memory-utilization") == ["0.93"]
        assert "--trust-remote-code" in plan.argv
        assert plan.listen.port == rendered.port == 9000
        assert plan.env["HF_HUB_OFFLINE"] == "1"
        assert plan.env["VLLM_NO_USAGE_STATS"] == "1"
        assert not [note for note in plan.notes if note.level == "warning"]

    def test_the_defaults_can_be_planned(self, name: str, tmp_path: Path) -> None:
        model = "codellama/CodeLlama-34b-Instruct-hf"
        plan = self.planned(Rendered(name, {}), tmp_path, model, FALCON_COMMIT)
        assert plan.served_model_names[0] == "codellama--CodeLlama-34b-Instruct-hf"
        assert plan.served_model_names[1] == "codellama--codellama-34b-instruct-hf"
        assert plan.model.requested_revision is None
        assert "--trust-remote-code" not in plan.argv
        assert ("HF_HUB_OFFLINE" in plan.env) == (name == "object-store")

    def test_our_request_can_be_planned(self, name: str, tmp_path: Path) -> None:
        bound = bindings(name)
        revision = bound["revision"] or FALCON_COMMIT
        plan = self.planned(Rendered(name, bound), tmp_path, bound["modelId"], revision)
        assert value_of(plan, "--tensor-parallel-size") == [bound["gpu"]]
        assert not [note for note in plan.notes if note.level == "warning"]

    def test_an_argument_may_contain_json_and_quotes(self, name: str, tmp_path: Path) -> None:
        arg = """--override-generation-config '{"temperature": 0.5}' --seed "7" # not a comment"""
        rendered = Rendered(name, OF_THE_GUIDES | {"additionalArgument": arg})
        assert rendered.environment(tmp_path)["ARG"] == f"--port 9000 {arg}"
        rendered = Rendered(name, OF_THE_GUIDES | {"additionalArgument": arg.partition(" #")[0]})
        plan = self.planned(rendered, tmp_path, FALCON, FALCON_COMMIT)
        assert value_of(plan, "--override-generation-config") == ['{"temperature": 0.5}']

    def test_the_port_of_the_template_wins_over_knatives(self, name: str, tmp_path: Path) -> None:
        rendered = Rendered(name, OF_THE_GUIDES | {"portNumber": "8080"})
        write_snapshot(rendered.cache(tmp_path), FALCON, FALCON_COMMIT)
        environ = rendered.environment(tmp_path)
        for set_by_knative in ({}, {"PORT": str(rendered.port)}):
            assert plan_on(4, environ | set_by_knative).listen.port == rendered.port == 8080

    def planned(self, rendered: Rendered, root: Path, model: str, commit: str) -> LaunchPlan:
        write_snapshot(rendered.cache(root), model, commit)
        return plan_on(int(rendered.values["gpu"] or ""), rendered.environment(root))


@pytest.mark.parametrize("name", NAMES)
class TestRequest:
    def test_the_request_matches_its_template(self, name: str) -> None:
        document, made = request(name), template(name)
        metadata = made["metadata"]
        assert document["executableId"] == metadata["name"]
        assert document["scenarioId"] == metadata["labels"]["scenarios.ai.sap.com/id"]
        assert document["versionId"] == metadata["labels"]["ai.sap.com/version"]
        bound = [each["key"] for each in document["inputArtifactBindings"]]
        declared = made["spec"]["inputs"].get("artifacts", [])
        assert bound == [each["name"] for each in declared]

    def test_the_request_binds_every_parameter_once(self, name: str) -> None:
        keys = [each["key"] for each in request(name)["parameterBindings"]]
        assert sorted(keys) == sorted(PARAMETERS_OF_THE_GUIDES)
        assert all(isinstance(value, str) for value in bindings(name).values())

    def test_its_model_fits_its_resource_plan(self, name: str) -> None:
        """As in the documentation's own table of the plans."""
        bound = bindings(name)
        billions = re.search(r"(\d+)b", bound["modelId"], re.IGNORECASE)
        row = re.search(rf"\| [^|]*`{bound['resourcePlan']}`.*", PAGE.read_text())
        assert billions is not None
        assert row is not None
        *_, gpus, limit, _ = row[0].split("|")
        assert bound["gpu"] == gpus.strip()
        assert int(billions[1]) <= int(limit.split()[0])


def test_the_documented_window_has_a_unit_that_the_platform_accepts() -> None:
    """It accepts whole seconds or hours, but not minutes."""
    row = re.search(r"\| `window` .*", PAGE.read_text())
    assert row is not None
    values = re.findall(r"\b\d+[a-z]+\b", row[0])
    assert "600s" in values
    assert all(re.fullmatch(r"\d+[sh]", value) for value in values)


class TestArtifact:
    """An artifact as KServe leaves it: it unpacks .tar and .tar.gz, but not .tar.zst."""

    def test_a_tarball_that_stays_packed_is_found(self, tmp_path: Path) -> None:
        rendered = Rendered("object-store", OF_THE_GUIDES)
        write_snapshot(tmp_path / "packed", FALCON, FALCON_COMMIT)
        archive = rendered.cache(tmp_path) / "falcon-40b-instruct.tar.zst"
        pack_with_gnu_tar(tmp_path / "packed", archive, "zstd")
        plan = plan_on(4, rendered.environment(tmp_path))
        assert (plan.model.source, plan.model.archive) == ("tarball", archive)

    def test_a_folder_around_the_cache_is_found(self, tmp_path: Path) -> None:
        rendered = Rendered("object-store", OF_THE_GUIDES)
        inside = rendered.cache(tmp_path) / "tiiuae--falcon-40b-instruct"
        write_snapshot(inside, FALCON, FALCON_COMMIT)
        assert plan_on(4, rendered.environment(tmp_path)).model.revision == FALCON_COMMIT


class TestWhatTheGuidesGotWrong:
    """Published values that older templates still have: each error names the fix."""

    def test_revision_1_is_an_error(self, tmp_path: Path) -> None:
        rendered = Rendered("object-store", OF_THE_GUIDES | {"revision": "1"})
        write_snapshot(rendered.cache(tmp_path), FALCON, FALCON_COMMIT)
        with pytest.raises(RevisionNotFound) as raised:
            plan_launch(rendered.environment(tmp_path))
        assert raised.value.variable == "REVISION"
        assert FALCON_COMMIT in raised.value.message
        assert "REVISION" in (raised.value.hint or "")
        assert "ServingTemplate" in (raised.value.hint or "")

    def test_the_mount_of_the_guides_is_an_error(self, tmp_path: Path) -> None:
        environ = Rendered("hugging-face", OF_THE_GUIDES).environment(tmp_path)
        write_snapshot(tmp_path / "mnt/models", FALCON, FALCON_COMMIT)
        environ["HUGGINGFACE_HUB_CACHE"] = str(tmp_path / "mnt/model")
        with pytest.raises(ModelNotFound) as raised:
            plan_launch(environ)
        assert f"HF_HUB_CACHE={tmp_path}/mnt/models" in (raised.value.hint or "")

    def test_the_mount_of_the_guides_works_with_an_artifact(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """KServe states where it put the model, so nothing needs a fix."""
        environ = Rendered("object-store", OF_THE_GUIDES).environment(tmp_path)
        environ["HUGGINGFACE_HUB_CACHE"] = str(tmp_path / "mnt/model")
        monkeypatch.setattr("entrypoint.settings.KSERVE_MOUNT", tmp_path / "mnt/models")
        write_snapshot(tmp_path / "mnt/models", FALCON, FALCON_COMMIT)
        assert plan_on(4, environ).model.revision == FALCON_COMMIT
