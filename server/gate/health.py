"""Whether the server can answer, and whether a restart would help."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from entrypoint.shared.health import HealthState
from server.gate.activity import EngineActivity

DEEP_SECONDS = 30.0
"""Time limit of the deep check: behind a full batch, one token takes a while."""

RESTART_AFTER = 2
"""Liveness fails after this many times STALL_TIMEOUT. Readiness fails first: keeping new requests
away may be enough."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check.

    Attributes:
        state: The state.
        text: The state in words.
    """

    state: HealthState
    text: str


READY = Verdict(HealthState.HEALTHY, "ready")
ALIVE = Verdict(HealthState.HEALTHY, "alive")
STARTING = Verdict(HealthState.STARTING, "the engine has not started yet")
STOPPING = Verdict(HealthState.STOPPING, "the server is stopping")
DEAD = Verdict(HealthState.DEAD, "the engine is dead")


def _no_token(why: str) -> Verdict:
    return Verdict(HealthState.NO_TOKEN, f"the engine generated no token{why}")


class Health:
    """Answers the probes' checks.

    Args:
        activity: Detects stalls.
        stall_timeout: STALL_TIMEOUT, in seconds.

    Attributes:
        stopping: Whether the gate refuses new requests.
    """

    def __init__(self, activity: EngineActivity, stall_timeout: float):
        self.stopping = False
        self._client: Any = None
        self._activity = activity
        self._stall_timeout = stall_timeout
        self._deep: asyncio.Task[Verdict] | None = None

    def attend(self, client: Any) -> None:
        """Check an engine client (vLLM's ``EngineClient``) from now on."""
        self._client = client

    @property
    def dead(self) -> bool:
        """Whether the engine has died."""
        return self._client is not None and self._client.errored

    def readiness(self) -> Verdict:
        """Return whether the server should get requests."""
        if self.stopping:
            return STOPPING
        if self._client is None:
            return STARTING
        return self._broken(self._stall_timeout) or READY

    def liveness(self) -> Verdict:
        """Return whether the server works, or needs a restart."""
        return self._broken(RESTART_AFTER * self._stall_timeout) or ALIVE

    async def deep_readiness(self) -> Verdict:
        """Return whether the engine can generate a token now.

        Concurrent callers share one token.
        """
        if self._deep is None or self._deep.done():
            self._deep = asyncio.create_task(self._generate_one_token())
        return await asyncio.shield(self._deep)

    def _broken(self, patience: float) -> Verdict | None:
        if self.dead:
            return DEAD
        stalled = self._activity.stalled_seconds()
        if stalled < patience:
            return None
        text = f"the engine has generated no token for {stalled:.0f} s while several requests wait"
        return Verdict(HealthState.STALLED, text)

    async def _generate_one_token(self) -> Verdict:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        if "generate" not in await self._client.get_supported_tasks():
            return READY
        # the engine accepts each request id only once
        request_id = f"deep-check-{time.monotonic_ns()}"
        params = SamplingParams(max_tokens=1, output_kind=RequestOutputKind.FINAL_ONLY)
        try:
            async with asyncio.timeout(DEEP_SECONDS):
                async for _ in self._client.generate(
                    TokensPrompt(prompt_token_ids=[0]), params, request_id
                ):
                    pass
        except TimeoutError:
            return _no_token(f" within {DEEP_SECONDS:.0f} s")
        except Exception as error:  # any error: there was no token
            return _no_token(f": {error or type(error).__name__}")
        return READY
