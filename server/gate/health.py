"""Whether the server can answer, and whether a restart would help."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from server.gate.progress import Progress

DEEP_SECONDS = 30.0
"""How long the deep check waits for its token: behind a full batch, one takes a while."""

RESTART_AFTER = 2
"""How many times STALL_TIMEOUT a stall lasts before the server says that it is not alive: not being
ready keeps requests away and may be enough."""


class Health:
    """Knows the engine, and what the gate has told.

    Args:
        progress: Sees whether the engine gets on.
        stall_timeout: STALL_TIMEOUT, in seconds.
    """

    def __init__(self, progress: Progress, stall_timeout: float):
        self.stopping = False
        self._client: Any = None
        self._progress = progress
        self._stall_timeout = stall_timeout
        self._deep: asyncio.Task[str | None] | None = None

    def attend(self, client: Any) -> None:
        """Answer for an engine client (vLLM's ``EngineClient``) from now on."""
        self._client = client

    @property
    def dead(self) -> bool:
        """Whether the engine has died."""
        return self._client is not None and self._client.errored

    def not_ready(self) -> str | None:
        """Return why requests should go elsewhere, None if they should not."""
        if self.stopping:
            return "the server is stopping"
        if self._client is None:
            return "the engine is not there yet"
        return self._broken(self._stall_timeout)

    def not_alive(self) -> str | None:
        """Return why a restart would help, None if it would not."""
        return self._broken(RESTART_AFTER * self._stall_timeout)

    async def fails_deep(self) -> str | None:
        """Return why the engine makes no token now, None if it makes one.

        However many ask at once, one token is made.
        """
        if self._deep is None or self._deep.done():
            self._deep = asyncio.create_task(self._one_token())
        return await asyncio.shield(self._deep)

    def _broken(self, patience: float) -> str | None:
        if self.dead:
            return "the engine is dead"
        stalled = self._progress.stalled()
        if stalled >= patience:
            return f"the engine has made no token for {stalled:.0f} s, and several requests wait"
        return None

    async def _one_token(self) -> str | None:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        if "generate" not in await self._client.get_supported_tasks():
            return None
        # a request id of its own each time: the engine takes none twice
        request_id = f"deep-check-{time.monotonic_ns()}"
        params = SamplingParams(max_tokens=1, output_kind=RequestOutputKind.FINAL_ONLY)
        try:
            async with asyncio.timeout(DEEP_SECONDS):
                async for _ in self._client.generate(
                    TokensPrompt(prompt_token_ids=[0]), params, request_id
                ):
                    pass
        except TimeoutError:
            return f"the engine made no token within {DEEP_SECONDS:.0f} s"
        except Exception as error:  # whatever it is, no token was made
            return f"the engine made no token: {error or type(error).__name__}"
        return None
