"""What the pod or container provides: writable folders, shared memory, service links."""
