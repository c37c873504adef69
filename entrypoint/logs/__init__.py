"""What is logged: records, their formats, and the writer."""
