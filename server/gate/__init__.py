"""Who may ask the server what, how much at once, and how every answer ends."""
