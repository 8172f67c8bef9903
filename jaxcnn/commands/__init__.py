"""The commands that use a model, a file each; what trains one is in `experiment`."""
