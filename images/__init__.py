"""What the image builds run; nothing of it is in an image."""
