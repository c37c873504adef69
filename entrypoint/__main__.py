"""``python -m entrypoint``: the same as ``inference-server``."""

import sys

from entrypoint.cli import main

if __name__ == "__main__":
    sys.exit(main())
