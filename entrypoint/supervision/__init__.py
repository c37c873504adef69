"""The supervisor of a launch: the engine's start, its output and its end."""
