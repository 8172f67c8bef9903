"""Convolutional networks for JAX and Flax Linen."""
