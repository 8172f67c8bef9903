"""The files of the examples that paths name: files, folders, patterns, tables."""

import glob
import os
from collections.abc import Iterator, Sequence

from jaxcnn.data.image_folder import EXTENSIONS, list_images
from jaxcnn.data.image_table import TABLES, table_files
from jaxcnn.data.options import DEFAULT, FileOptions


def find_examples(
    paths: Sequence[str], files: FileOptions = DEFAULT, *, listed: bool = False
) -> list[tuple[str, ...]]:
    """Returns the files of every example that the paths name, each example once.

    A folder stands for all images under it, in order of their paths, and a pattern such
    as `"scans/**/*.png"` for those that it fits; both leave out what is hidden or does
    not end like an image. A table (`.csv`, `.tsv`, `.tab`) stands for the files of its
    rows. Where an example has several files (`files.stack`), a path names its first,
    and the others lie beside it.

    Args:
        paths: Files, folders, patterns, tables.
        files: How files become examples.
        listed: Whether the paths come from a list: a file that is not there is then
            no error yet, as it may be one of very many.

    Raises:
        FileNotFoundError: if there is nothing of a name.
        ValueError: if a folder or a pattern holds no images, or the files of an example
            stand in columns of a table and the path is no table.
    """
    found: dict[tuple[str, ...], None] = {}
    for path in paths:
        examples = _examples(os.path.expanduser(path), files, listed)
        found.update(dict.fromkeys(examples))
    return list(found)


def _examples(path: str, files: FileOptions, listed: bool) -> list[tuple[str, ...]]:
    if path.lower().endswith(TABLES) and not os.path.isdir(path):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no table '{path}'.")
        return list(zip(*table_files(path, files), strict=True))
    if any(not name.startswith("{}") for name in files.names):
        raise ValueError(
            f"The files of an example stand in the columns {', '.join(files.names)} of "
            f"a table: '{path}' is none ({', '.join(TABLES)})."
        )
    names = list(_images(path, listed))
    if not names:
        raise ValueError(f"'{path}' holds no images ({', '.join(EXTENSIONS)}).")
    if not files.names:
        return [(name,) for name in names]
    ends = [pattern[2:] for pattern in files.names]
    firsts = [name[: -len(ends[0])] for name in names if name.endswith(ends[0])]
    if not firsts:
        raise ValueError(
            f"'{path}' has no name that ends in {ends[0]!r}, as that of an example's "
            "first file does."
        )
    return [tuple(start + end for end in ends) for start in firsts]


def _images(path: str, listed: bool) -> Iterator[str]:
    if os.path.isdir(path):
        yield from (os.path.join(path, name) for name in sorted(list_images(path, "")))
    elif os.path.exists(path) or listed:
        yield path
    elif glob.has_magic(path):
        for name in sorted(glob.glob(path, recursive=True)):
            if not os.path.isdir(name) and name.lower().endswith(EXTENSIONS):
                yield name
    else:
        raise FileNotFoundError(f"There is no picture {path}.")
