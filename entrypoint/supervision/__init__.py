"""The engine as a process tree: its start, its output, its end."""
