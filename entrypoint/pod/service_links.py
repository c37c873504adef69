"""The variables that Kubernetes injects for each Service, where they collide with the engine's own.

A Service called ``vllm`` gives every pod of its namespace ``VLLM_PORT=tcp://10.0.0.1:8000`` and
six more: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

from __future__ import annotations

import re
from collections.abc import Mapping

COLLIDING = ("VLLM", "RAY", "MASTER")
"""First words of variables that vLLM, Ray and torch.distributed read: ``VLLM_PORT``,
``RAY_PORT``, ``MASTER_PORT``."""

_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_TAIL = r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"


def injected_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables of services whose names collide, in the environment's order.

    A service is told by its ``<NAME>_PORT``, which holds an address where a program would put a
    number; a variable that a user has set to a number is left alone.
    """
    services = [
        name.removesuffix("_PORT")
        for name, value in environ.items()
        if name.endswith("_PORT")
        and _ADDRESS.match(value)
        and name.partition("_")[0] in COLLIDING
        and not re.search(r"_PORT_\d+_", name)
    ]
    if not services:
        return ()
    of_service = re.compile(rf"({'|'.join(map(re.escape, services))})_{_TAIL}")
    return tuple(name for name in environ if of_service.fullmatch(name))
