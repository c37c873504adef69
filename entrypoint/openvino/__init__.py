"""What a launch on OpenVINO needs before the engine starts: its settings, its converted model."""
