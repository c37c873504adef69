"""Why the engine exited: the cause that its output shows, and a hint how to fix it."""

from entrypoint.diagnosis.diagnose import EngineExit, diagnose

__all__ = ["EngineExit", "diagnose"]
