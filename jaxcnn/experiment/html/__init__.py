"""The report of a run as one web page: its parts, sections and pictures."""
