"""The defaults for Intel Gaudi.

The options are those of https://docs.vllm.ai/projects/gaudi, release 0.26; the plugin's bucketing
is in ``vllm_gaudi/extension/bucketing``.
"""

from __future__ import annotations

import re

from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.planning.asked import Asked
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.store.model import Model

OPTIONS = {"--block-size": "128", "--max-num-seqs": "256"}

STRATEGY = "VLLM_BUCKETING_STRATEGY"
LEGACY_STRATEGY = "VLLM_EXPONENTIAL_BUCKETING"
RANGE = re.compile(
    r"VLLM_(PROMPT_(BS|QUERY|SEQ|CTX)|DECODE_(BS|BLOCK))_BUCKET_(MIN|STEP|MAX|PAD_MAX|PAD_PERCENT)"
)
PREFILL_BATCH = "VLLM_PROMPT_BS_BUCKET_MAX"
"""The only range that every strategy uses: it is also the batch size of the prefill."""


def hpu_defaults(asked: Asked, model: Model, hardware: Hardware, ranks: int) -> Defaults:
    """Return the block size, the number of sequences, the buckets, and the modules to use."""
    environment, notes = _buckets(asked)
    # a forked worker inherits the driver's state and can hang when it exits
    environment["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    if ranks > 1:
        environment["PT_HPU_ENABLE_LAZY_COLLECTIVES"] = "true"
    modules = [device.identity for device in hardware.devices]
    if modules and all(modules):
        environment["HABANA_VISIBLE_MODULES"] = ",".join(str(module) for module in modules)
    return Defaults(dict(OPTIONS), environment, notes)


def _buckets(asked: Asked) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Return the bucketing strategy that keeps the user's ranges, and a note about it.

    The default strategy overwrites them.
    """
    users = asked.settings.vllm_environment
    if users.get(LEGACY_STRATEGY):
        return {}, ()
    ranges = [name for name, value in users.items() if value and RANGE.fullmatch(name)]
    ranges = [name for name in ranges if name != PREFILL_BATCH]
    if not ranges:
        return {STRATEGY: "exp"}, ()
    strategy = "pad" if any("_PAD_" in name for name in ranges) else "lin"
    if users.get(STRATEGY):
        return {}, ()
    note = Note(
        "info",
        ranges[0],
        f"{STRATEGY}={strategy}, because {', '.join(ranges)} is set and the default strategy, exp, "
        "overwrites such ranges.",
    )
    return {STRATEGY: strategy}, (note,)
