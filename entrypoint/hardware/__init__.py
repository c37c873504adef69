"""What this machine has to run a model on, and what the installed vLLM was built for."""
