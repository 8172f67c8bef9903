"""`python -m jaxcnn`."""

from jaxcnn.cli import main

main()
