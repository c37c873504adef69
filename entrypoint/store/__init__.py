"""The model store: where a model is looked for, and how it gets onto the disk."""
