"""What the pod gives the engine: writable places, shared memory, service links."""
