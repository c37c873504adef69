"""Code that runs in the engine's processes."""
