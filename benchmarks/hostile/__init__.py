"""Malformed and hostile requests, by the hundred thousand, against the served demo model."""
