"""docker-compose.yml: a profile starts one hardened engine, configured by the variables."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from entrypoint.launch import plan_launch
from entrypoint.settings import all_variables, near_misses, read_settings, variables
from tests.support.deploy_files import (
    COMPOSE,
    ENGINES,
    ROOT,
    environment_of,
    interpolated,
    services,
)
from tests.support.deploy_tools import tool

MIB = {"mb": 1, "gb": 1 << 10}
SMOKES = tuple(f"{engine}-smoke" for engine in ENGINES)

NOT_PASSED = {
    "HOST": "PUBLISH sets it",
    "PORT": "PUBLISH sets it",
    "ACCELERATOR": "the profile sets it",
    "VLLM_OPENVINO_DEVICE": "the profile sets it",
    "OPENVINO_CONVERTER": "the image has the converter",
    "HF_HOME": "HF_HUB_CACHE and HUGGINGFACE_HUB_CACHE are set",
    "TERMINATION_LOG": "only for Kubernetes",
    "STORAGE_URI": "KServe's",
    "DISABLE_CUSTOM_KERNELS": "without effect",
    "MAX_SEQ_LEN_TO_CAPTURE": "without effect",
    "LLM_MODEL": "older name of MODEL_ID, which gets its value",
}
OF_OTHERS = {
    "AWS_ACCESS_KEY_ID": "S3's client",
    "AWS_SECRET_ACCESS_KEY": "S3's client",
    "AWS_SESSION_TOKEN": "S3's client",
    "AWS_DEFAULT_REGION": "S3's client",
    "AWS_ENDPOINT_URL": "S3's client",
    "AZURE_STORAGE_ACCOUNT_NAME": "Azure's client",
    "AZURE_STORAGE_ACCOUNT_KEY": "Azure's client",
    "AZURE_STORAGE_SAS_TOKEN": "Azure's client",
    "GOOGLE_APPLICATION_CREDENTIALS": "Google Cloud's client",
    "XDG_CACHE_HOME": "the parent of the scratch directory",
    "HABANA_VISIBLE_DEVICES": "Habana's container runtime",
    "HABANA_VISIBLE_MODULES": "Habana's driver",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "Open MPI, which Habana's libraries use",
}


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("engine", ENGINES)
class TestEngine:
    def test_it_has_no_permission_that_it_does_not_need(self, engine: str) -> None:
        service = services()[engine]
        assert service["user"] == "65534:65534"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert not {"ipc", "pid", "network_mode"} & set(service)

    def test_only_accelerators_add_capabilities(self, engine: str) -> None:
        wanted = {"rocm": ["SYS_NICE", "SYS_PTRACE"], "hpu": ["SYS_NICE"]}
        assert services()[engine].get("cap_add", []) == wanted.get(engine, [])

    def test_compiled_code_can_run_in_tmp(self, engine: str) -> None:
        [mount] = services()[engine]["tmpfs"]
        path, _, options = mount.partition(":")
        assert path == "/tmp"
        assert "exec" in options.split(",")

    def test_the_dockerfile_has_the_target_and_arguments(self, engine: str) -> None:
        build = services()[engine]["build"]
        text = (ROOT / build.get("dockerfile", "Dockerfile")).read_text()
        assert re.search(rf"^FROM \S+ AS {build.get('target', '.*')}$", text, re.MULTILINE)
        for argument in build.get("args", {}):
            assert re.search(rf"^ARG {argument}\b", text, re.MULTILINE)

    def test_shared_memory_is_large_enough(self, engine: str) -> None:
        size = interpolated(services()[engine]["shm_size"], {})
        assert int(size[:-2]) * MIB[size[-2:]] >= 1024

    def test_the_drain_ends_within_the_grace_period(self, engine: str) -> None:
        drain = read_settings(environment_of(engine, {})).shutdown_timeout
        assert seconds(interpolated(services()[engine]["stop_grace_period"], {})) > drain + 2

    def test_it_is_published_on_this_machine_only(self, engine: str) -> None:
        [port] = services()[engine]["ports"]
        assert interpolated(port, {}) == "127.0.0.1:8000:8000"

    def test_it_passes_the_settings_and_nothing_else(self, engine: str) -> None:
        passed = set(services()[engine]["environment"])
        own = {name for name in passed if name.startswith("VLLM_")}
        assert passed - own - set(all_variables()) <= set(OF_OTHERS)
        wanted = {
            name
            for name in all_variables()
            if engine.startswith("openvino") or not name.startswith("VLLM_OPENVINO_")
        }
        missing = wanted - passed - set(NOT_PASSED)
        assert not missing, f"add to x-environment in {COMPOSE.name}: {missing}"

    def test_a_variable_in_the_shell_reaches_it(self, engine: str) -> None:
        environ = {"MODEL_ID": "a/b", "NUM_SHARD": "2", "ARG": "--max-model-len 100"}
        passed = environment_of(engine, environ)
        assert environ.items() <= passed.items()
        assert "REVISION" not in passed

    @pytest.mark.parametrize("field", ["model_id", "hf_token"])
    def test_each_name_of_a_setting_reaches_it(self, engine: str, field: str) -> None:
        names = variables(field)
        assert len(names) > 1
        for name in names:
            settings = read_settings(environment_of(engine, {name: "a/b"}))
            value = getattr(settings, field)
            assert (value if isinstance(value, str) else value.get_secret_value()) == "a/b"

    def test_files_with_keys_have_a_read_only_folder(self, engine: str) -> None:
        mounts = [interpolated(mount, {}).split(":") for mount in services()[engine]["volumes"]]
        assert ["./deploy/secrets", "/run/secrets", "ro"] in mounts
        assert (ROOT / "deploy" / "secrets" / ".gitignore").exists()
        names = ("API_KEY_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE", "MODEL_SIGNATURE_KEY")
        files = {name: f"/run/secrets/{name}" for name in names}
        assert files.items() <= environment_of(engine, files).items()

    def test_it_serves_the_demo_model_by_default(self, engine: str, tmp_path: Path) -> None:
        source, target, mode = interpolated(services()[engine]["volumes"][0], {}).split(":")
        assert (target, mode) == ("/mnt/models", "ro")
        environ = {
            name: value.replace(target, str(ROOT / source)).replace("/var/tmp", str(tmp_path))
            for name, value in environment_of(engine, {}).items()
        }
        plan = plan_launch(environ)
        assert plan.model.source == "cache"
        assert plan.served_model_names[0] == "inference-server--Demo-Llama"
        assert not [note for note in plan.notes if note.level == "warning"]

    def test_downloads_and_scratch_go_to_the_volume(self, engine: str) -> None:
        mounts = dict(
            interpolated(mount, {}).split(":")[:2] for mount in services()[engine]["volumes"]
        )
        settings = read_settings(environment_of(engine, {"HF_HUB_OFFLINE": "0"}))
        assert not settings.hf_hub_offline
        # they go to the first writable root
        assert str(settings.hf_hub_cache).startswith(mounts["cache"] + "/")
        assert services()[engine]["environment"]["XDG_CACHE_HOME"] == mounts["cache"]
        assert str(settings.huggingface_hub_cache) == "/mnt/models"

    def test_the_smoke_client_waits_until_the_engine_is_ready(self, engine: str) -> None:
        smoke = services()[f"{engine}-smoke"]
        assert services()[engine]["healthcheck"]["test"] == ["CMD", "inference-server", "health"]
        assert smoke["depends_on"] == {engine: {"condition": "service_healthy"}}
        assert smoke["image"] == services()[engine]["image"]
        assert smoke["command"] == ["http://server:8000"]
        assert services()[engine]["networks"]["default"]["aliases"] == ["server"]


def test_compose_own_variables_mean_nothing_to_the_runtime() -> None:
    """They are not passed on, and do not look like misspelled settings."""
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    own = used - set(all_variables())
    assert {"MODELS", "PUBLISH", "SHM_SIZE", "RESTART", "STOP_GRACE"} <= own
    assert near_misses(dict.fromkeys(own, "x")) == {}


def config(profile: str, **environ: str) -> dict[str, Any]:
    """Return a profile's configuration, as Compose reads it."""
    words = [tool("docker-compose"), "--env-file", os.devnull, "--profile", profile]
    done = subprocess.run(
        [*words, "--file", str(COMPOSE), "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestConfig:
    """``docker compose config``: Compose's schema, interpolation and profiles."""

    @pytest.mark.parametrize("engine", ENGINES)
    def test_a_profile_starts_one_engine(self, engine: str) -> None:
        found = config(engine)["services"]
        assert set(found) == {engine}
        [port] = found[engine]["ports"]
        assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8000", 8000)
        assert int(found[engine]["shm_size"]) >= 1 << 30

    @pytest.mark.parametrize("smoke", SMOKES)
    def test_a_smoke_profile_starts_its_engine(self, smoke: str) -> None:
        assert set(config(smoke)["services"]) == {smoke, smoke.removesuffix("-smoke")}

    def test_the_monitoring_profile_starts_prometheus_and_grafana(self) -> None:
        assert set(config("monitoring")["services"]) == {"prometheus", "grafana"}

    def test_a_variable_in_the_shell_reaches_it(self) -> None:
        found = config("cpu", MODELS="/data/m", PUBLISH="0.0.0.0:9000", NUM_SHARD="2", RESTART="no")
        cpu = found["services"]["cpu"]
        assert cpu["environment"]["NUM_SHARD"] == "2"
        assert cpu["environment"]["REVISION"] is None
        assert cpu["volumes"][0]["source"] == "/data/m"
        assert cpu["volumes"][0]["read_only"] is True
        assert (cpu["ports"][0]["host_ip"], cpu["ports"][0]["published"]) == ("0.0.0.0", "9000")
        assert cpu["restart"] == "no"

    def test_only_an_accelerators_profile_requests_its_devices(self) -> None:
        nvidia = config("cuda")["services"]["cuda"]["deploy"]["resources"]["reservations"]
        assert nvidia["devices"] == [{"capabilities": ["gpu"], "driver": "nvidia", "count": -1}]
        rocm = config("rocm", RENDER_GROUP="993")["services"]["rocm"]
        assert [device["source"] for device in rocm["devices"]] == ["/dev/kfd", "/dev/dri"]
        assert rocm["group_add"] == ["video", "993"]
        hpu = config("hpu")["services"]["hpu"]
        assert hpu["runtime"] == "habana"
        assert hpu["environment"]["HABANA_VISIBLE_DEVICES"] == "all"
        gpu = config("openvino-gpu")["services"]["openvino-gpu"]
        assert [device["source"] for device in gpu["devices"]] == ["/dev/dri"]
        assert gpu["environment"]["VLLM_OPENVINO_DEVICE"] == "GPU"
        for plain in ("cpu", "openvino"):
            assert not {"devices", "runtime", "deploy"} & set(config(plain)["services"][plain])


@pytest.mark.parametrize("name", [*SMOKES, "prometheus", "grafana"])
def test_the_other_services_are_hardened(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
