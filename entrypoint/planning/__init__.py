"""From what was asked and what is there to a launch plan."""
