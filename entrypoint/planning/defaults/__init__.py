"""What each accelerator needs of vLLM, unless the user sets something else."""
