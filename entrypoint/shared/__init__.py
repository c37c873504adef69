"""What the entrypoint and the engine's processes share. Imports only the standard library."""
