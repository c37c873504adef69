"""Why an engine ended: the first causal exception of its output, a known kind, what mends it."""

from entrypoint.diagnosis.diagnose import Ended, diagnose

__all__ = ["Ended", "diagnose"]
