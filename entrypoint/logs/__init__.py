"""Log records, their formats, and the writer of the output."""
