"""The command `jaxcnn explain`: where on pictures a model saw what it names."""

import dataclasses
import functools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxcnn.augment.spec import parse_spec
from jaxcnn.commands.opened import OpenedModel, open_model, read_picture
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.experiment.flags import parse_flags
from jaxcnn.layers.checks import check_number
from jaxcnn.tree import nearest
from jaxcnn.typing import PyTree


@dataclasses.dataclass(frozen=True)
class _Explain:
    """Draws pictures with the parts that made a model name a class.

    Give a run folder and pictures; or the registered name of a model, pictures, and
    --weights. Exit code 0 if all could be read, 1 if some could not (they are named),
    2 for an error.
    """

    paths: tyro.conf.Positional[tuple[str, ...]]
    """The run folder, or with --weights the name of a model; then pictures, folders of
    them or patterns."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """The picture to write: OUT.png, OUT.pdf or OUT.svg."""
    method: tuple[str, ...] = ("grad_cam",)
    """One or more: grad_cam, saliency, "integrated_gradients(steps=100)", ..."""
    layer: tuple[str, ...] = ()
    """Class activation maps: path of a submodule, or several to average; by default the
    last one that still has positions."""
    target: str | None = None
    """The class to explain, its name or number; by default the most probable one."""
    top: int = 3
    """How many classes to name."""
    check: bool = False
    """Say how much faster the probability falls without the marked parts than without
    random ones."""
    limit: int = 16
    """Pictures to draw; the others are left out, and counted."""
    weights: str | None = None
    """Of a registered model: a file, a published set, or hf-hub:owner/name."""
    like: str | None = None
    """With --weights: a published set whose preprocessing and classes these share."""
    step: str | None = None
    """Of a run: best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Of a run: the weights themselves where it averaged them (--ema)."""


def command(args: list[str]) -> int:
    """Writes the picture, prints what is on it, and returns the exit code.

    Raises:
        ValueError: for a bad flag, class, method or layer, or if no file can be read.
        OSError: if there is nothing of a name, or the picture cannot be written.
    """
    from jaxcnn.plotting import attribution_sheet

    flags = parse_flags(_Explain, args, prog="jaxcnn explain")
    methods = [_method(text, flags.layer) for text in flags.method]
    _check(flags)
    opened = open_model(
        flags.paths[0],
        weights=flags.weights,
        like=flags.like,
        step=flags.step,
        raw=flags.raw,
    )
    subject = _subject(flags, opened)
    images, probabilities = subject.inputs, subject.probabilities()
    names = subject.names or tuple(f"class {k}" for k in range(probabilities.shape[1]))
    target = _target(flags.target, names)
    classes = probabilities.argmax(axis=1) if target is None else target
    classes = np.broadcast_to(np.asarray(classes, np.int32), len(images))
    maps = {
        text: subject.maps(name, options, classes)
        for text, (name, options) in zip(flags.method, methods, strict=True)
    }
    top = [_top(row, names, flags.top) for row in probabilities]
    attribution_sheet(
        flags.out,
        subject.shown,
        maps,
        titles=[os.path.basename(file) for file in subject.files],
        top=top,
        explained=[names[k] for k in classes],
    )
    for file, row in zip(subject.files, top, strict=True):
        print(f"{file}: {', '.join(f'{n} {100 * p:.1f} %' for n, p in row)}")
    if flags.check:
        for text, values in maps.items():
            print(subject.checked(text, values, classes))
    print(f"The picture is {flags.out}", file=sys.stderr)
    return subject.report()


def _check(flags: _Explain) -> None:
    from jaxcnn.data.files import as_path

    check_number("--top", flags.top, 1)
    check_number("--limit", flags.limit, 1)
    endings = (".png", ".pdf", ".svg")
    if not flags.out.lower().endswith(endings):
        raise ValueError(f"--out must end in {', '.join(endings)}, got {flags.out!r}.")
    folder = os.path.dirname(flags.out)
    if folder and not as_path(folder).is_dir():
        raise FileNotFoundError(f"There is no folder {folder} for {flags.out}.")
    if not flags.method:
        raise ValueError("--method needs at least one method.")
    if len(flags.paths) < 2:
        raise ValueError("explain needs a run folder or a model, and pictures.")


def _method(text: str, layers: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Returns the name of a method and its options."""
    from jaxcnn.interpret import CAMS, METHODS

    name, options = parse_spec("method", text, "grad_cam or occlusion(window=8)")
    if name not in METHODS:
        raise ValueError(
            f"Unknown method {name!r}.{nearest(name, METHODS)} "
            f"Allowed: {', '.join(METHODS)}."
        )
    if layers and name in CAMS:
        options["layers"] = list(layers)
    elif layers:
        raise ValueError(f"--layer is for {', '.join(CAMS)}, not for {name}.")
    return name, options


def _target(text: str | None, names: Sequence[str]) -> int | None:
    """Returns the class that is named, None for the most probable."""
    if text is None:
        return None
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise ValueError(
        f"--target {text!r} is no class.{nearest(text, names)} There are "
        f"{len(names)}: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}."
    )


def _top(
    probabilities: np.ndarray, names: Sequence[str], top: int
) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [(names[k], float(probabilities[k])) for k in order]


@dataclasses.dataclass
class _Subject:
    """A model and the pictures that it is asked about.

    Attributes:
        model: The Linen module.
        variables: Its variables.
        names: One name a class, or empty.
        softmax: Whether probabilities are the softmax of what it returns.
        files: Of the pictures that could be read.
        shown: These as the model gets them, in colours a person knows, `[n, height,
            width, channels]` in [0, 1].
        inputs: These as the model gets them.
        broken: What is wrong with the others.
        left_out: Pictures beyond the limit.
    """

    model: Any
    variables: PyTree
    names: tuple[str, ...]
    softmax: bool
    files: list[str]
    shown: np.ndarray
    inputs: jax.Array
    broken: list[str]
    left_out: int

    def probabilities(self) -> np.ndarray:
        """Returns `[n, classes]`."""
        logits = jax.jit(self.model.apply)(self.variables, self.inputs)
        return np.asarray(jax.nn.softmax(logits) if self.softmax else logits)

    def maps(
        self, name: str, options: dict[str, Any], classes: np.ndarray
    ) -> np.ndarray:
        """Returns the maps of a method, `[n, height, width]`."""
        from jaxcnn.interpret import attribution_map

        explain = functools.partial(attribution_map, name, self.model, **options)
        found = jax.jit(explain)(self.variables, self.inputs, jnp.asarray(classes))
        return np.asarray(found)

    def checked(self, text: str, maps: np.ndarray, classes: np.ndarray) -> str:
        """Returns a line with the scores of maps beside those of noise."""
        from jaxcnn.interpret import deletion_score, insertion_score, random_maps

        noise = random_maps(jax.random.key(0), maps.shape)
        words = []
        for name, score in {
            "deletion": deletion_score,
            "insertion": insertion_score,
        }.items():
            area = jax.jit(functools.partial(score, self.model))
            mine, other = (
                float(area(self.variables, self.inputs, each, classes).area.mean())
                for each in (jnp.asarray(maps), noise)
            )
            words.append(f"{name} {mine:.3f} (random {other:.3f})")
        return f"{text}: {', '.join(words)}"

    def report(self) -> int:
        """Says what is not on the picture and returns the exit code."""
        if self.left_out:
            print(f"{self.left_out:,} more are left out: --limit.", file=sys.stderr)
        for line in self.broken:
            print(f"cannot be read: {line}", file=sys.stderr)
        return int(bool(self.broken))


def _gathered(
    found: Sequence[tuple[str, np.ndarray | str]],
    preprocess: PreprocessConfig | None,
    **rest: Any,
) -> _Subject:
    """Returns the subject, of files and their pixels or what is wrong with them."""
    read = [(file, x) for file, x in found if not isinstance(x, str)]
    broken = [f"{file}: {why}" for file, why in found if isinstance(why, str)]
    if not read:
        raise ValueError(f"None of the pictures can be read: {broken[0]}")
    as_seen = preprocess and dataclasses.replace(
        preprocess, mean=(), std=(), channel_order="RGB"
    )
    given, seen = make_preprocess(preprocess), make_preprocess(as_seen)
    return _Subject(
        files=[file for file, _ in read],
        shown=np.concatenate([np.asarray(seen(x[None])) for _, x in read]),
        inputs=jnp.concatenate([given(x[None]) for _, x in read]),
        broken=broken,
        **rest,
    )


def _subject(flags: _Explain, opened: OpenedModel) -> _Subject:
    """Returns the model with its pictures, read as it reads them elsewhere."""
    gather = _of_run if opened.run is not None else _of_weights
    found, count = gather(flags, opened)
    return _gathered(
        found,
        opened.preprocess,
        model=opened.model,
        variables=opened.variables,
        names=opened.class_names,
        softmax=opened.run is None or opened.run.config.task == "classification",
        left_out=max(0, count - flags.limit),
    )


def _of_run(
    flags: _Explain, opened: OpenedModel
) -> tuple[list[tuple[str, np.ndarray | str]], int]:
    """Returns the first pictures as `jaxcnn predict` reads them, and how many are."""
    from jaxcnn.experiment.file_predictions import predict_files

    files = predict_files(opened.run, flags.paths[1:], batch_size=flags.limit)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        images, reasons = files.decode(0, pool)
    rows = zip(files.examples[: flags.limit], images, reasons, strict=False)
    found = [(" + ".join(each), why or image) for each, image, why in rows]
    return found, len(files)


def _of_weights(
    flags: _Explain, opened: OpenedModel
) -> tuple[list[tuple[str, np.ndarray | str]], int]:
    from jaxcnn.data.finding import find_examples

    files = [each[0] for each in find_examples(list(flags.paths[1:]))]
    read = functools.partial(
        _read, shape=opened.image_shape, preprocess=opened.preprocess
    )
    return [(file, read(file)) for file in files[: flags.limit]], len(files)


def _read(
    file: str, *, shape: tuple[int, ...], preprocess: PreprocessConfig | None
) -> np.ndarray | str:
    """Returns the pixels of a picture, or why there are none.

    In its own size where the preprocessing resizes, else in that of the model.
    """
    from jaxcnn.run import read_image

    try:
        if preprocess is not None and (preprocess.resize or preprocess.size):
            return read_picture(file, shape[-1], None)
        return read_image(file, shape)
    # Pillow raises OSError, SyntaxError, ValueError, struct.error and more.
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
