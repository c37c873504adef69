"""``inference-server serve`` with the scripted engine, and with a clock that a row can set."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

from entrypoint.cli import main
from entrypoint.supervision import config

SCRIPTED = (sys.executable, "-m", "tests.support.scripted_engine")
YEAR = 365 * 86400.0


def jumping_clock(flag: Path) -> float:
    """Return the time of day, a year ahead once a file exists."""
    return time.clock_gettime(time.CLOCK_REALTIME) + (YEAR if flag.exists() else 0)


if __name__ == "__main__":
    patch.object(
        config, "SupervisorConfig", partial(config.SupervisorConfig, command=SCRIPTED)
    ).start()
    if "FAULT_CLOCK" in os.environ:
        patch("time.time", partial(jumping_clock, Path(os.environ["FAULT_CLOCK"]))).start()
    sys.exit(main(["serve"]))
