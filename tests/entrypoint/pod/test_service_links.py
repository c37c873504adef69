"""Variables that Kubernetes injects for Services."""

import pytest

from entrypoint.pod.service_links import injected_variables


def links(service: str) -> dict[str, str]:
    """What Kubernetes sets for a Service with one port called http."""
    address = "10.96.0.7"
    return {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": "8000",
        f"{service}_SERVICE_PORT_HTTP": "8000",
        f"{service}_PORT": f"tcp://{address}:8000",
        f"{service}_PORT_8000_TCP": f"tcp://{address}:8000",
        f"{service}_PORT_8000_TCP_PROTO": "tcp",
        f"{service}_PORT_8000_TCP_PORT": "8000",
        f"{service}_PORT_8000_TCP_ADDR": address,
    }


@pytest.mark.parametrize("service", ["VLLM", "VLLM_CPU", "RAY", "MASTER"])
def test_all_of_a_colliding_services_variables(service: str) -> None:
    assert injected_variables(links(service)) == tuple(links(service))


def test_one_alone() -> None:
    assert injected_variables({"VLLM_PORT": "tcp://10.0.0.1:8000"}) == ("VLLM_PORT",)


def test_what_a_user_set_is_left_alone() -> None:
    environ = {"VLLM_PORT": "29500", "VLLM_HOST_IP": "10.0.0.1", "VLLM_SERVICE_HOST": "x"}
    assert injected_variables(environ) == ()


def test_vllms_own_variables_beside_a_service() -> None:
    environ = links("VLLM") | {"VLLM_USE_V1": "1", "VLLM_PORTS": "1"}
    assert injected_variables(environ) == tuple(links("VLLM"))


def test_other_services_are_left_alone() -> None:
    assert injected_variables(links("KUBERNETES") | links("REDIS")) == ()
