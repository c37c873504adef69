"""The demo model: a tiny Llama that answers questions about this runtime, and its training."""
