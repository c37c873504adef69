"""vLLM's command-line options: what exists, what a user wrote, and what once existed."""
