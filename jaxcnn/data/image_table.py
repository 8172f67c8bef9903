"""Tables of images: a CSV or TSV file with a path and a label in every row."""

import csv
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from etils import epath

from jaxcnn.data.crops import Crop
from jaxcnn.data.files import as_path
from jaxcnn.data.groups import check_apart, groups_of, numbered
from jaxcnn.data.image_folder import cut_shuffled, seeded_part
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.options import COLUMNS, DEFAULT, FileOptions
from jaxcnn.data.records import make_records
from jaxcnn.data.splits import Split, unknown_split
from jaxcnn.tree import nearest

#: What the names of tables end in.
TABLES = (".csv", ".tsv", ".tab")
_OTHER_WORDS = {"val": "validation", "valid": "validation"}


class _Table(NamedTuple):
    """The columns of a table that are used; None for those that are not there."""

    files: list[list[str]]
    labels: list[str] | None
    splits: list[str] | None
    groups: list[str] | None


def read_table(
    path: epath.PathLike,
    split: Split,
    *,
    crops: dict[str, Crop],
    files: FileOptions = DEFAULT,
    on_broken: str = "error",
) -> LazySource:
    """Returns the images that a table lists, in its order.

    Its first line names the columns: `path`, relative to the table's folder;
    `label`, a class by name; `split`, such as `train`, `val` or `test`; and `group`, as
    a patient. All but `path` may be missing. Commas separate the columns, tabs in files
    that end in `.tsv` or `.tab`. Classes are the labels in order, as numbers if all are
    whole numbers. Without splits, `files.test` of the examples are set apart as
    `"test"`. A slice such as `"train[:10%]"` is taken from one fixed random order.

    Args:
        path: The file.
        split: Which part, or a slice.
        crops: From `make_crops`.
        files: How files become examples; `files.stack` names columns.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it lacks a column, a row lacks a cell, a group is in two splits,
            or it has no such split.
    """
    where = as_path(path)
    if not where.is_file():
        raise FileNotFoundError(f"there is no table '{where}'")
    table = _read(where, files)
    classes, labels = _classes(table)
    groups = table.groups
    if files.group is not None:
        groups = groups_of(table.files[0], files.group)
    source = LazySource(
        f"table:{where}",
        make_records(str(where.parent), table.files, labels),
        classes,
        split=split.base,
        decoder=files.decoder(),
        groups=None if groups is None else numbered(groups),
        on_broken=on_broken,
        **crops,
    )
    if table.splits is None:
        source = seeded_part(source, split, files, labels if classes else None)
        return cut_shuffled(source, split)
    splits = np.array([_OTHER_WORDS.get(word, word) for word in table.splits])
    if split.base not in splits:
        raise unknown_split(source.name, split.base, set(splits.tolist()))
    if groups is not None:
        names, bases = np.array(groups), sorted(set(splits.tolist()))
        check_apart({base: names[splits == base].tolist() for base in bases})
    return cut_shuffled(source.subset(splits == split.base), split)


def table_files(path: epath.PathLike, files: FileOptions = DEFAULT) -> list[list[str]]:
    """Returns the paths of the first files of all rows, of their second ones, ...

    Args:
        path: The table.
        files: How files become examples.

    Raises:
        ValueError: if it lacks a column, or a row lacks a cell.
    """
    where = as_path(path)
    _, column = _opened(where)
    names = files.names or (files.columns.get("path", "path"),)
    return [[str(where.parent / cell) for cell in column(name)] for name in names]


def has_splits(path: epath.PathLike, files: FileOptions = DEFAULT) -> bool:
    """Returns whether a table says in which split each of its rows is."""
    return files.columns.get("split", "split") in _opened(as_path(path))[0]


def _opened(where: epath.Path) -> tuple[list[str], Callable[[str], list[str]]]:
    """Returns the titles of a table and what gives the cells under one."""
    tabs = where.name.lower().endswith((".tsv", ".tab"))
    # With a byte order mark, as spreadsheets write it.
    try:
        text = where.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{where}' is not text in UTF-8: {error.reason}") from None
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if tabs else ",")
    header = list(reader.fieldnames or ())
    rows = [(reader.line_num, row) for row in reader]
    if not rows:
        raise ValueError(f"'{where}' has no rows under its first line")

    def column(name: str) -> list[str]:
        if name not in header:
            raise ValueError(
                f"'{where}' has no column {name!r}.{nearest(name, header)} It has "
                f"{', '.join(map(repr, header))}; data.columns names others"
            )
        cells = [(row[name] or "").strip() for _, row in rows]
        if "" in cells:
            line = rows[cells.index("")][0]
            raise ValueError(f"'{where}' has no {name!r} in line {line}")
        return cells

    return header, column


def _read(where: epath.Path, files: FileOptions) -> _Table:
    header, column = _opened(where)
    wanted = {name: files.columns.get(name, name) for name in COLUMNS}
    found = {
        name: column(title) if name in files.columns or title in header else None
        for name, title in wanted.items()
        if name != "path"
    }
    paths = [column(name) for name in files.names or (wanted["path"],)]
    if found["split"] is not None:
        found["split"] = [word.lower() for word in found["split"]]
    return _Table(paths, found["label"], found["split"], found["group"])


def _classes(table: _Table) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names of the classes, and the class of every example."""
    if table.labels is None:
        return (), np.full(len(table.files[0]), -1, np.int32)
    names = set(table.labels)
    whole = all(name.removeprefix("-").isdecimal() for name in names)
    classes = sorted(names, key=int) if whole else sorted(names)
    number = {name: index for index, name in enumerate(classes)}
    return tuple(classes), np.array([number[name] for name in table.labels], np.int32)
