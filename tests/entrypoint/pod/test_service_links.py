"""Variables that Kubernetes injects for Services are recognized."""

import pytest

from entrypoint.pod.service_links import injected_variables


def links(service: str) -> dict[str, str]:
    """Return the variables that Kubernetes sets for a Service with a port named http."""
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
def test_all_variables_of_a_colliding_service_are_returned(service: str) -> None:
    assert injected_variables(links(service)) == tuple(links(service))


def test_one_address_is_enough() -> None:
    assert injected_variables({"VLLM_PORT": "tcp://10.0.0.1:8000"}) == ("VLLM_PORT",)


def test_variables_that_the_user_set_are_not_returned() -> None:
    environ = {"VLLM_PORT": "29500", "VLLM_HOST_IP": "10.0.0.1", "VLLM_SERVICE_HOST": "x"}
    assert injected_variables(environ) == ()


def test_vllms_own_variables_beside_a_service_are_not_returned() -> None:
    environ = links("VLLM") | {"VLLM_USE_V1": "1", "VLLM_PORTS": "1"}
    assert injected_variables(environ) == tuple(links("VLLM"))


def test_other_services_are_not_returned() -> None:
    assert injected_variables(links("KUBERNETES") | links("REDIS")) == ()
