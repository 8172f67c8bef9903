"""What a run folder says of itself, and the model that it holds."""

import dataclasses
import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import linen as nn

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.data.decoding import upright
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.models.cut import with_head
from jaxcnn.registry import create_model
from jaxcnn.train.ema import abstract_average, average_in
from jaxcnn.train.step import make_predict_step
from jaxcnn.train.views import make_tta_predict
from jaxcnn.tree import nearest
from jaxcnn.typing import PyTree

CONFIG_FILE = "config.json"
CHECKPOINTS = "checkpoints"
METRICS = "metrics"
_DTYPES = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What `config.json` holds: enough to rebuild the model and its preprocessing.

    Attributes:
        model: The registered name.
        model_args: The constructor's keyword arguments, JSON values.
        task: `"classification"`, `"capsules"` or `"reconstruction"`.
        image_shape: Shape of one stored image, `[height, width, channels]`, sequence,
            `[length, channels]`, or volume, `[depth, height, width, channels]`.
        class_names: One name a class.
        preprocess: What stands between stored pixels and the model.
        class_weights: Weight of every class in the loss; empty if all weigh 1.
        best: The metric by which the best checkpoint is chosen, or None.
        mode: `"max"` or `"min"`: which value of it is best.
        batch_groups: Groups of a batch over which BatchNorm takes its statistics.
        averaged: Whether its checkpoints hold averages of the weights, which are used.
        data: What the run was trained on: name, number of examples, fingerprint.
        experiment: The whole configuration of the experiment, or empty.
        head: Arguments of `with_head` for another head than the model's own, its
            `head` a registered name; or empty.
        transfer: What the run took over from trained weights: which, their
            fingerprint, what was frozen; or empty.
    """

    model: str
    model_args: dict[str, Any]
    task: str
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    preprocess: PreprocessConfig | None = None
    class_weights: tuple[float, ...] = ()
    best: str | None = None
    mode: str = "max"
    batch_groups: int = 1
    averaged: bool = False
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    experiment: dict[str, Any] = dataclasses.field(default_factory=dict)
    head: dict[str, Any] = dataclasses.field(default_factory=dict)
    transfer: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def classifies(self) -> bool:
        """Whether the model names classes."""
        return self.task in ("classification", "capsules")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the model gets of one image: `image_shape` after the preprocessing."""
        preprocess = make_preprocess(self.preprocess)
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.uint8)
        return jax.eval_shape(preprocess, images).shape[1:]

    def save(self, directory: epath.PathLike) -> None:
        """Writes `config.json` into the run folder, made if missing."""
        folder = epath.Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG_FILE, dataclasses.asdict(self))

    @classmethod
    def load(cls, directory: epath.PathLike) -> "RunConfig":
        """Returns what `save` wrote.

        Raises:
            ValueError: if the folder is not a run folder, or its file is damaged.
        """
        path = epath.Path(directory) / CONFIG_FILE
        if not path.exists():
            raise ValueError(
                f"{directory} is not a run folder: it has no {CONFIG_FILE}."
            )
        try:
            values = json.loads(path.read_text())
            values["image_shape"] = tuple(values["image_shape"])
            values["class_names"] = tuple(values["class_names"])
            values["class_weights"] = tuple(values.get("class_weights", ()))
            if values.get("preprocess") is not None:
                values["preprocess"] = PreprocessConfig.from_json(values["preprocess"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error!r}.") from error

    def build_model(self) -> nn.Module:
        """Returns the model, without its parameters."""
        arguments = dict(self.model_args)
        if "dtype" in arguments:
            arguments["dtype"] = _dtype(arguments["dtype"])
        model = create_model(self.model, **arguments)
        return self._with_head(model) if self.head else model

    def _with_head(self, model: nn.Module) -> nn.Module:
        classes, options = self.model_args["num_classes"], dict(self.head)
        if options["head"] is not None:
            options["head"] = create_model(options["head"], num_classes=classes)
        return with_head(model, classes, **options)


def _dtype(name: Any) -> Any:
    try:
        return jnp.dtype(name)
    except TypeError:
        raise ValueError(
            f"dtype={name!r} is unknown.{nearest(str(name), _DTYPES)} "
            f"Allowed: {', '.join(map(repr, _DTYPES))}."
        ) from None


def write_json(path: epath.PathLike, values: dict[str, Any]) -> None:
    """Writes a JSON file aside and renames it, so that a kill leaves no half a file."""
    path = epath.Path(path)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(values, indent=2) + "\n")
    part.replace(path)


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained model with all that its use needs.

    Attributes:
        model: The Linen module.
        variables: Its parameters and other collections.
        config: What the folder says of itself.
        step: The checkpoint's step.
    """

    model: nn.Module
    variables: PyTree
    config: RunConfig
    step: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        return self.config.class_names

    def predict(
        self, images: Any, *, batch_size: int = 256, views: Any = ()
    ) -> np.ndarray:
        """Returns class probabilities, or for an autoencoder the images given back.

        Args:
            images: `[n, height, width, channels]`, uint8 or float in [0, 1]; sequences
                `[n, length, channels]` and volumes `[n, depth, height, width,
                channels]`, uint8 or any floats.
            batch_size: Images at a time; the last batch is padded to it.
            views: Averages the probabilities over views of each image, such as
                `"flip"`; see `jaxcnn.augment.make_views`.

        Returns:
            `[n, classes]` float32, every row sums to 1; for capsules, whose lengths
            say of each class alone whether it is there, it does not. For an
            autoencoder the shape that came.

        Raises:
            ValueError: if the images have another shape than those of the run, or are
                other integers than uint8, or floats outside [0, 1]; if sequences or
                volumes hold NaN or infinity; if a view is unknown, or there are views
                and the run's task is not classification.
        """
        images = np.asarray(images)
        self._check(images)
        predict = self._compiled(views)
        outputs = []
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            missing = batch_size - len(part) if len(images) > batch_size else 0
            padding = [(0, missing)] + [(0, 0)] * (images.ndim - 1)
            result = predict(self.variables, np.pad(part, padding))
            outputs.append(np.asarray(result)[: len(part)])
        return np.concatenate(outputs)

    def _check(self, images: np.ndarray) -> None:
        shape = self.config.image_shape
        if images.shape[1:] != shape or not len(images):
            raise ValueError(
                f"images must be {['n', *shape]} with n of 1 or more, "
                f"got {list(images.shape)}."
            )
        if np.issubdtype(images.dtype, np.integer) and images.dtype != np.uint8:
            # Divided by its type's maximum, int64 of 0 to 255 would be all black.
            raise ValueError(
                f"images must be uint8 or float in [0, 1], got {images.dtype}."
            )
        if images.dtype == np.uint8:
            return
        if len(shape) != 3:  # sequences and volumes have units of their own
            if not np.isfinite(images).all():
                raise ValueError("the input holds NaN or infinity.")
        elif not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                "float images must be in [0, 1], got values in "
                f"[{images.min()}, {images.max()}]."
            )

    def _compiled(self, views: Any) -> Any:
        """Returns `predict(variables, images)`, compiled once for each set of views."""
        key = views if isinstance(views, str) or callable(views) else tuple(views)
        if key not in self._steps:
            self._steps[key] = self._step(views)
        return self._steps[key]

    @functools.cached_property
    def _steps(self) -> dict[Any, Any]:
        return {}

    def _step(self, views: Any) -> Any:
        preprocess = make_preprocess(self.config.preprocess)
        softmax = self.config.task == "classification"
        if not views:
            predict = make_predict_step(self.model, preprocess=preprocess)
        elif softmax:
            predict = make_tta_predict(self.model, views, preprocess=preprocess)
        else:
            raise ValueError(
                f"views are for the task 'classification', not {self.config.task!r}."
            )

        def outputs(variables: PyTree, images: Any) -> Any:
            result = predict(variables, images)
            return jax.nn.softmax(result) if softmax else result

        return jax.jit(outputs)


def load_run(
    directory: epath.PathLike, *, step: str | int | None = None, raw: bool = False
) -> Run:
    """Returns the model of a run folder, ready to use, on whatever devices there are.

    Where the run averaged its weights (`ema`), they are the averaged ones.

    Args:
        directory: The folder that a training run left.
        step: `"best"`, `"latest"` or the number of a saved step; by default the best
            where the run chose one on its validation part, else the latest.
        raw: Whether to take the weights themselves, not their average, if there is one.

    Raises:
        ValueError: if the folder is not a run folder, has no checkpoint, or holds one
            of another model.
    """
    config = RunConfig.load(directory)
    model = config.build_model()
    images = jax.ShapeDtypeStruct((1, *config.input_shape), jnp.float32)
    variables = dict(jax.eval_shape(model.init, jax.random.key(0), images))
    target = {"params": variables.pop("params"), "model_state": variables}
    averaged = config.averaged and not raw
    folder = epath.Path(directory) / CHECKPOINTS
    with Checkpoints(folder, best=config.best, mode=config.mode) as checkpoints:
        if step is None:
            step = "best" if checkpoints.best_step is not None else "latest"
        wanted = abstract_average(target) if averaged else target
        restored = checkpoints.restore(wanted, step=step, partial=True)
    state = average_in(restored.state, target) if averaged else restored.state
    return Run(
        model=model,
        variables={"params": state["params"], **state["model_state"]},
        config=config,
        step=restored.step,
    )


def read_image(path: epath.PathLike, shape: tuple[int, ...]) -> np.ndarray:
    """Returns a picture file as a model of such images takes it.

    The picture is turned as its EXIF entry says, made gray or RGB as the channels say,
    and resized (bilinear, antialiased) where its size differs.

    Args:
        path: A file that Pillow reads: PNG, JPEG, WebP, ...
        shape: `[height, width, channels]` with 1 or 3 channels.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ValueError: if the file is no picture or damaged, or the shape is not that of a
            gray or RGB image.
        OSError: if there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    if len(shape) != 3:
        raise ValueError(
            "A picture is [height, width, channels]; the model takes arrays of shape "
            f"{list(shape)}: give these to Run.predict in Python."
        )
    if shape[-1] not in (1, 3):
        raise ValueError(f"Pictures have 1 or 3 channels; the model takes {shape[-1]}.")
    height, width, channels = shape
    try:
        with epath.Path(path).open("rb") as file, Image.open(file) as image:
            if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255
                image = Image.fromarray((np.asarray(image) / 257).astype(np.uint8))
            image = upright(image).convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.uint8).reshape(shape)
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture that Pillow reads.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture {path}.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"The picture {path} cannot be read: {error}.") from error
    return pixels
