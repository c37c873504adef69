"""Models on the disk: caches, directories, digests, manifests."""
