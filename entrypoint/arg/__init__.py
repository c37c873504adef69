"""Reads the text of ARG and of the configuration file that it names, before any option is known."""
