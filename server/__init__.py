"""The heavy half of the runtime: what runs inside the engine's processes."""
