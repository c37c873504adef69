"""Authenticates requests, limits them, and ends every answer properly."""
