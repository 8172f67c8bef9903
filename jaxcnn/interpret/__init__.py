"""Seeing inside: features, receptive fields, dreams, attribution and style.

Functions of `(model, variables, images, ...)` that return arrays. They know paths of
submodules alone, so they work for every registered model and for any Linen module.
`jaxcnn.plotting` makes pictures of what they return.
"""
