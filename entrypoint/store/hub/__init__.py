"""The hub: listing what it has of a model, and downloading that to the cache."""
