"""Builds the container images. Nothing in this package ends up in an image."""
