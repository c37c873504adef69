"""What each accelerator wants of vLLM where the user says nothing else."""
