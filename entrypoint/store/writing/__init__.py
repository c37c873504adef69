"""One way to write files and folders that appear complete or not at all."""
