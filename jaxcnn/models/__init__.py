"""One family a file; importing this package registers the models by name."""
