"""What a run's model says of picture files: of one, or of folders full of them."""

import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from jaxcnn.data import prefetch
from jaxcnn.data.decoding import NPY_MAGIC
from jaxcnn.data.files import as_path
from jaxcnn.data.finding import find_examples
from jaxcnn.data.options import DEFAULT, FileOptions
from jaxcnn.experiment.other_data import as_files, eval_crop_of, of_files
from jaxcnn.experiment.sources import file_options
from jaxcnn.layers.checks import check_number
from jaxcnn.run import Run, RunConfig, read_image

_Read = Callable[[Sequence[str]], np.ndarray]


class FilePrediction(NamedTuple):
    """What a model says of one example.

    Attributes:
        files: Where it was read from; of one file, unless the run's have several.
        probabilities: `[classes]`, or None of a file that cannot be read.
        broken: Why it cannot be read, else None.
    """

    files: tuple[str, ...]
    probabilities: np.ndarray | None
    broken: str | None = None


class FilePredictions:
    """The predictions for files, made while one iterates: any number of files.

    A thread reads and decodes ahead of the device, on all cores; of the images, no more
    than a few batches are in memory. Batches are of one size, the last one padded, so
    the model is compiled once.

    Args:
        run: From `load_run`.
        examples: The files of every example.
        views: As for `Run.predict`.
        batch_size: Images at a time.

    Raises:
        ValueError: if the run names no classes or takes no files, or the batch size is
            not a whole number of at least 1.
    """

    def __init__(
        self,
        run: Run,
        examples: Sequence[tuple[str, ...]],
        *,
        views: Any = (),
        batch_size: int = 64,
    ) -> None:
        check_number("batch_size", batch_size, 1)
        if not run.config.classifies:
            raise ValueError(
                f"The run holds an autoencoder ({run.config.model}), which names no "
                "classes: load_run(folder).predict(images) gives its images."
            )
        self.run, self.examples, self.views = run, examples, views
        self.batch_size = min(batch_size, max(len(examples), 1))
        self._read = _reader(run.config)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[FilePrediction]:
        """Yields the prediction for every example, in their order."""
        batches = -(-len(self) // self.batch_size)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            data = _Decoded(self, pool)
            for k, (images, reasons) in prefetch(data, 0, batches):
                found = self._predict(images)
                examples = self._part(k)
                for row, (files, why) in enumerate(zip(examples, reasons, strict=True)):
                    yield FilePrediction(files, None if why else found[row], why)

    def _predict(self, images: np.ndarray) -> np.ndarray:
        return self.run.predict(images, batch_size=len(images), views=self.views)

    def _part(self, k: int) -> Sequence[tuple[str, ...]]:
        return self.examples[k * self.batch_size : (k + 1) * self.batch_size]

    def decode(
        self, k: int, pool: ThreadPoolExecutor
    ) -> tuple[np.ndarray, list[str | None]]:
        """Returns the images of batch `k`, 0 where there are none, and what is wrong.

        Args:
            k: The number of the batch.
            pool: Threads to decode in.
        """
        shape, examples = self.run.config.image_shape, self._part(k)
        dtype = np.uint8 if len(shape) == 3 else np.float32
        images = np.zeros((self.batch_size, *shape), dtype)
        reasons: list[str | None] = []
        for row, found in enumerate(pool.map(self._one, examples)):
            reasons.append(found if isinstance(found, str) else None)
            if not isinstance(found, str):
                images[row] = found
        return images, reasons

    def _one(self, files: tuple[str, ...]) -> np.ndarray | str:
        """Returns the pixels of an example, or why there are none."""
        try:
            return self._read(files)
        # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
        except Exception as error:
            return " ".join(str(error).split()) or type(error).__name__


class _Decoded:
    """Gives batch k, as `prefetch` asks for it."""

    def __init__(self, predictions: FilePredictions, pool: ThreadPoolExecutor) -> None:
        self._predictions, self._pool = predictions, pool

    def __getitem__(self, k: int) -> tuple[np.ndarray, list[str | None]]:
        return self._predictions.decode(k, self._pool)


def predict_files(
    run: Run,
    paths: str | Sequence[str],
    *,
    views: Any = (),
    batch_size: int = 64,
    listed: bool = False,
) -> FilePredictions:
    """Returns the predictions for picture files, made while one iterates over them.

    A file is read as the run's evaluation reads its data: of the same mode, window,
    stack of files and channel of edges, in the same part and size. For a run on arrays
    the whole picture is brought to their size. A file that cannot be read is no error:
    its prediction says why.

    Args:
        run: From `load_run`.
        paths: Files, folders (with all that is under them), patterns, such as
            `"scans/**/*.png"`, and tables; see `jaxcnn.data.find_examples`.
        views: As for `Run.predict`.
        batch_size: Images at a time.
        listed: As for `find_examples`.

    Raises:
        FileNotFoundError: if there is nothing of a name.
        ValueError: if a folder holds no images, the run names no classes, a view is
            unknown, or the batch size is not a whole number of at least 1.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = _options(run.config)
    examples = find_examples([os.fspath(path) for path in paths], files, listed=listed)
    return FilePredictions(run, examples, views=views, batch_size=batch_size)


def _options(config: RunConfig) -> FileOptions:
    if len(config.image_shape) != 3:
        return DEFAULT
    return file_options(as_files(config))


def _reader(config: RunConfig) -> _Read:
    """Returns what makes the array that a run's model takes of an example's files."""
    shape = config.image_shape
    if len(shape) != 3:
        return functools.partial(_read_array, shape=shape)
    data = as_files(config)
    decoder, crop = file_options(data).decoder(), eval_crop_of(data, shape)

    def read(files: Sequence[str]) -> np.ndarray:
        contents = [_content(file) for file in files]
        return decoder(contents, crop)[0]

    if of_files(data) or data.decode == "lazy" or shape[-1] not in (1, 3):
        return read

    def read_any(files: Sequence[str]) -> np.ndarray:
        content = _content(files[0])
        if content.startswith(NPY_MAGIC):
            return decoder(content, crop)[0]
        return read_image(files[0], shape)

    return read_any


def _content(file: str) -> bytes:
    path = as_path(file)
    if not path.exists():
        raise FileNotFoundError(f"there is no file '{file}'")
    return path.read_bytes()


def _read_array(files: Sequence[str], *, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a `.npy` file of a sequence or a volume, float32 as the model gets it."""
    content = _content(files[0])
    if not content.startswith(NPY_MAGIC):
        raise ValueError(
            f"the model takes arrays of shape {list(shape)}: give them as .npy files"
        )
    # Pickled objects could run code.
    values = np.load(io.BytesIO(content), allow_pickle=False)
    if values.shape != shape:
        raise ValueError(f"it has shape {list(values.shape)}, expected {list(shape)}")
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"it holds {values.dtype}, expected uint8 or floats")
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinity")
    return values.astype(np.float32)
