"""Models as files on the disk: caches, directories, digests, manifests."""
