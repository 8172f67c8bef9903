"""Encoded files by number, as a `LazySource` reads them."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np


class FolderRecords:
    """Files by number.

    Their names are kept in one piece: a million of them are 40 MB and go to a worker at
    once, where as many Python strings would be three times that.

    Args:
        root: The folder that the names are relative to.
        names: Of the files.
        labels: Class of every file, int32 `[N]`.
    """

    def __init__(self, root: str, names: list[str], labels: np.ndarray) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._root, self._labels = root, labels
        self._names = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded])

    def __len__(self) -> int:
        return len(self._ends)

    def _path(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        name = os.fsdecode(self._names[start : int(self._ends[index])])
        return os.path.join(self._root, name)

    def read(self, index: int) -> tuple[bytes, int]:
        """Returns the content of a file and its class."""
        with open(self._path(index), "rb") as file:
            return file.read(), int(self._labels[index])

    def name(self, index: int) -> str:
        """Returns the path in quotes."""
        return f"'{self._path(index)}'"

    def labels(self) -> np.ndarray | None:
        """Returns the class of every file, None without any."""
        return None if len(self) and self._labels[0] < 0 else self._labels

    def state(self) -> list[Any]:
        """Returns names, sizes and classes."""
        sizes = [os.stat(self._path(index)).st_size for index in range(len(self))]
        parts = (np.array(sizes, np.int64), self._ends, self._labels)
        return [self._names, *(part.tobytes() for part in parts)]

    def stamps(self) -> bytes:
        """Returns the times at which the files were last written."""
        times = [os.stat(self._path(index)).st_mtime_ns for index in range(len(self))]
        return np.array(times, np.int64).tobytes()


class StackRecords:
    """Examples of several files each.

    Args:
        parts: The first files of all examples, their second ones, ...; the class of an
            example is that of its first.
    """

    def __init__(self, parts: Sequence[FolderRecords]) -> None:
        self._parts = tuple(parts)

    def __len__(self) -> int:
        return len(self._parts[0])

    def read(self, index: int) -> tuple[tuple[bytes, ...], int]:
        """Returns the contents of an example's files, and its class."""
        found = [part.read(index) for part in self._parts]
        return tuple(content for content, _ in found), found[0][1]

    def name(self, index: int) -> str:
        """Returns the paths in quotes."""
        return " + ".join(part.name(index) for part in self._parts)

    def labels(self) -> np.ndarray | None:
        """Returns the class of every example, None without any."""
        return self._parts[0].labels()

    def state(self) -> list[Any]:
        """Returns names, sizes and classes."""
        return [entry for part in self._parts for entry in part.state()]

    def stamps(self) -> bytes:
        """Returns the times at which the files were last written."""
        return b"".join(part.stamps() for part in self._parts)


class Relabelled:
    """Records whose classes are numbered in another way.

    Args:
        records: The same examples.
        order: The new number of every class, `[classes]`.
    """

    def __init__(self, records: Any, order: np.ndarray) -> None:
        self._records, self._order = records, order

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not there yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self._records, name)

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> tuple[Any, int]:
        """Returns what is encoded, and the class."""
        data, label = self._records.read(index)
        return data, int(self._order[label]) if label >= 0 else label

    def labels(self) -> np.ndarray | None:
        """Returns the class of every example, None without any."""
        labels = self._records.labels()
        return None if labels is None else self._order[labels]


def make_records(
    root: str, columns: Sequence[Sequence[str]], labels: np.ndarray
) -> FolderRecords | StackRecords:
    """Returns the records of examples.

    Args:
        root: The folder that names are relative to.
        columns: The names of the first files, of the second ones, ...
        labels: Class of every example, int32 `[N]`; -1 without one.
    """
    parts = [FolderRecords(root, list(names), labels) for names in columns]
    return parts[0] if len(parts) == 1 else StackRecords(parts)
