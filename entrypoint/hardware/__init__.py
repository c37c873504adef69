"""The devices, processors and memory of this machine, and the accelerator vLLM was built for."""
