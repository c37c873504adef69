"""Verifying and signing models, and what a model must pass before it is served."""
