"""The status of a launch: its phases, and the server that shows them while the model loads."""
