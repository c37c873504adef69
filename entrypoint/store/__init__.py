"""The model store: finding a model, and bringing it onto the disk."""
