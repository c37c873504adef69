"""What a launch shows of itself: its phases, its status document, the server that answers first."""
