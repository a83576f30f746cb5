"""What is told of the controller's work: the status of baselines, Events, metrics; nothing that it waits for."""
