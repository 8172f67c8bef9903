"""Tables of text: aligned columns under a header."""

from collections.abc import Collection, Sequence


def aligned(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)
) -> list[str]:
    r"""Returns the lines of a table: names to the left, numbers to the right.

    Args:
        header: The title of each column.
        rows: The cells, as many in each row as titles.
        left: Which columns are names.

    Example:
        >>> print("\n".join(aligned(["layer", "size"], [["conv1", "7"]])))
        layer  size
        -----  ----
        conv1     7
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for line in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
