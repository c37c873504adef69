"""The variables that Kubernetes injects for Services and that collide with the engine's own.

For a Service named ``vllm``, every pod in the namespace gets ``VLLM_PORT=tcp://10.0.0.1:8000`` and
six more variables: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

import re
from collections.abc import Mapping

COLLIDING_PREFIXES = ("VLLM", "RAY", "MASTER")
"""How variables of vLLM, Ray and torch.distributed start: ``VLLM_PORT``, ``RAY_PORT``,
``MASTER_PORT``."""

_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_TAIL = r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"


def injected_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of the Services whose names collide, in the environment's order.

    A Service is recognized by its ``<NAME>_PORT``, which contains an address. A variable that the
    user set contains a number and is not returned.
    """
    services = [
        name.removesuffix("_PORT")
        for name, value in environ.items()
        if name.endswith("_PORT")
        and _ADDRESS.match(value)
        and name.partition("_")[0] in COLLIDING_PREFIXES
        and not re.search(r"_PORT_\d+_", name)
    ]
    if not services:
        return ()
    of_service = re.compile(rf"({'|'.join(map(re.escape, services))})_{_TAIL}")
    return tuple(name for name in environ if of_service.fullmatch(name))
