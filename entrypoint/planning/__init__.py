"""From the request, the model and the machine to a launch plan."""
