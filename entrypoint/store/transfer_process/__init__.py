"""Transfers in a separate process: the messages, our side (parent) and the other side (child)."""
