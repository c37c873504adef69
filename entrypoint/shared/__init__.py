"""Plain data that the entrypoint and the engine share, on the standard library alone."""
