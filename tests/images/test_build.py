"""The build arguments and mounts of an image build."""

from datetime import UTC, datetime

import pytest

from images.build import label_arguments, package_index_options
from images.engine import Engine

PODMAN = Engine("podman")


@pytest.fixture(autouse=True)
def no_pip_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.build._pip_index", lambda: "")


def test_no_option_is_passed_without_settings() -> None:
    assert list(package_index_options(PODMAN, {})) == []


def test_podman_mounts_certificates_and_wheels() -> None:
    environ = {"SSL_CERT_FILE": "/etc/ca.crt", "PIP_FIND_LINKS": "/srv/a /srv/b"}
    words = " ".join(package_index_options(PODMAN, environ))
    assert "--volume /etc/ca.crt:/run/ca.crt:ro" in words
    assert "--build-arg SSL_CERT_FILE=/run/ca.crt" in words
    assert "--volume /srv/a:/run/wheels/0:ro --volume /srv/b:/run/wheels/1:ro" in words
    assert "--build-arg TORCH=--find-links=/run/wheels/0 --find-links=/run/wheels/1" in words


def test_docker_builds_mount_nothing() -> None:
    environ = {"SSL_CERT_FILE": "/etc/ca.crt", "PIP_FIND_LINKS": "/srv/a"}
    assert list(package_index_options(Engine("docker"), environ)) == []


def test_a_mirror_is_passed_to_pip_and_uv() -> None:
    words = list(
        package_index_options(Engine("docker"), {"PIP_INDEX_URL": "http://127.0.0.1/simple"})
    )
    assert "PIP_INDEX_URL=http://127.0.0.1/simple" in words
    assert "UV_DEFAULT_INDEX=http://127.0.0.1/simple" in words


def test_a_mirror_in_pips_configuration_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.build._pip_index", lambda: "http://127.0.0.1/pip")
    words = list(package_index_options(PODMAN, {"UV_DEFAULT_INDEX": "http://127.0.0.1/uv"}))
    assert "PIP_INDEX_URL=http://127.0.0.1/pip" in words
    assert "UV_DEFAULT_INDEX=http://127.0.0.1/uv" in words


def test_the_labels_are_build_arguments() -> None:
    found = dict(label.split("=", 1) for label in label_arguments(datetime(2026, 1, 2, tzinfo=UTC)))
    assert found["CREATED"] == "2026-01-02T00:00:00+00:00"
    assert found["VERSION"]
    assert set(found) == {"VERSION", "CREATED", "REVISION"}
