"""The search for the model."""
