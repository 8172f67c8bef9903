"""Datasets of TFDS, each image decoded when it is asked for."""

from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data import tfds
from jaxcnn.data.cache import load_or_make
from jaxcnn.data.crops import Crop
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.splits import Split, unknown_split


def read_tfds_lazily(
    name: str,
    split: Split,
    *,
    crops: dict[str, Crop],
    data_dir: epath.PathLike | None = None,
    on_broken: str = "error",
) -> LazySource:
    """Returns a split of a dataset that TFDS has prepared as array_record or parquet.

    Args:
        name: `"imagenet2012"`, `"name:1.2.3"` or `"name/config"`.
        split: Any split of the dataset, or a slice of one.
        crops: From `make_crops`.
        data_dir: See `read_tfds`.
        on_broken: See `LazySource`.

    Raises:
        FileNotFoundError: if the dataset is not prepared.
        ValueError: as `read_tfds`.
    """
    folder = tfds.find_folder(name, data_dir)
    builder = tfds.open_builder(folder)
    info = builder.info
    if split.base not in info.splits:
        raise unknown_split(name, split.base, info.splits)
    image, label = tfds.feature_names(info)
    return LazySource(
        name,
        TfdsRecords(
            folder,
            split.base,
            split.bounds(info.splits[split.base].num_examples),
            (image, label),
        ),
        tuple(info.features[label].names) if label else (),
        split=split.text,
        mode=tfds.pillow_mode(info, image),
        on_broken=on_broken,
        **crops,
    )


class TfdsRecords:
    """Records of a prepared dataset by number; its files are opened when first read.

    Args:
        folder: Of the version of the dataset.
        split: The split.
        bounds: First record and one past the last.
        keys: Names of the image feature and of the label's, None without one.

    Raises:
        ValueError: if the files are tfrecord, absent or damaged.
    """

    def __init__(
        self,
        folder: epath.Path,
        split: str,
        bounds: tuple[int, int],
        keys: tuple[str, str | None],
    ) -> None:
        self._folder, self._split = str(folder), split
        self._bounds, self._keys = bounds, keys
        self._source: Any = None
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens the files itself.
        return {**self.__dict__, "_source": None}

    def _open(self) -> Any:
        if self._source is None:
            builder = tfds.open_builder(epath.Path(self._folder))
            self._source = tfds.open_source(builder, self._split)
        return self._source

    def __len__(self) -> int:
        return self._bounds[1] - self._bounds[0]

    def read(self, index: int) -> tuple[bytes, int]:
        """Returns an encoded image and its class."""
        image, label = self._keys
        with tfds.naming(self._folder):
            record = self._open()[self._bounds[0] + index]
        return record[image], int(record[label]) if label else -1

    def name(self, index: int) -> str:
        """Returns the number of the record in its split."""
        number = self._bounds[0] + index
        return f"record {number} of split {self._split!r} in '{self._folder}'"

    def labels(self) -> np.ndarray | None:
        """Returns the class of every record, read once and kept on disk."""
        if not self._keys[1]:
            return None
        files = tfds.file_states(epath.Path(self._folder))
        key = ["labels", self._split, self._bounds, self._keys[1], files]
        stem = f"{epath.Path(self._folder).parent.name}-{self._split}-labels"
        return load_or_make(stem, key, self._read_labels)["label"]

    def _read_labels(self) -> dict[str, np.ndarray]:
        labels = [self.read(index)[1] for index in range(len(self))]
        return {"label": np.array(labels, np.int32)}

    def state(self) -> list[Any]:
        """Returns the slice, and names and sizes of the dataset's files."""
        files = tfds.file_states(epath.Path(self._folder))
        # Without the folder and the times: a copy elsewhere is the same data.
        return [self._split, self._bounds, [(n, size) for n, size, _ in files[1:]]]
