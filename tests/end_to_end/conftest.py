"""Which end-to-end tests run in which environment."""

from __future__ import annotations

from importlib.util import find_spec

# .venv has no openvino_genai: `make test` runs these in .venv-openvino
collect_ignore = ["test_openvino.py"] if find_spec("openvino_genai") is None else []
