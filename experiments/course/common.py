"""What the experiments on courses' claims share: images, training, files, pictures.

A file of this folder tests one claim. It has `run(settings)`, which trains and returns
what goes into `results/NAME.json`, `draw(results, path)` and `table(results)`, and ends
with `main(...)`. Every seed has first weights, an order and training images of its own;
a learning rate is chosen by seed 0's validation accuracy; the test part is measured
once for each run at the chosen rate.
"""

import dataclasses
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from flax import linen as nn
from matplotlib.figure import Figure

import jaxcnn
from jaxcnn.data import EvalData, Source, TrainData, load_source
from jaxcnn.data.preprocess import PreprocessConfig, make_preprocess
from jaxcnn.experiment.compiled import keep_compiled
from jaxcnn.layers.checks import check_number
from jaxcnn.optim import make_optimizer, set_rate_factor
from jaxcnn.plotting.style import GREY, INK, LIGHT, write_figure
from jaxcnn.run import write_json
from jaxcnn.train import TrainState

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"
IMAGES = ROOT / "docs" / "images"
SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
#: Okabe and Ito's, which the colour-blind tell apart, and two more.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
COLOURS += ("#222222", "#7A3E9D", "#8C8C00")
POINTS = 8  # of a learning curve


@dataclasses.dataclass(frozen=True)
class Settings:
    """The flags of every experiment."""

    seeds: int = 3
    """Runs of every variant."""
    steps: int | None = None
    """Updates of every run; the experiment has a number of its own."""
    fast: bool = False
    """Try the code: made-up images, one seed, three steps, results in a new folder."""
    out: Path | None = None
    """Folder of table and picture; by default results/ and docs/images/."""
    redraw: bool = False
    """Draw what a former run left in the folder, and train nothing."""

    def __post_init__(self) -> None:
        check_number("seeds", self.seeds, 1)
        if self.steps is not None:
            check_number("steps", self.steps, 1)

    def updates(self, usual: int) -> int:
        """Returns the updates of a run that usually has `usual`."""
        return 3 if self.fast else self.steps or usual

    @property
    def numbers(self) -> range:
        """The seeds."""
        return range(1 if self.fast else self.seeds)


class Parts(NamedTuple):
    """Images for every seed, those to choose by and those to test on."""

    train: list[TrainData]
    validation: EvalData
    test: EvalData
    preprocess: Callable[[jax.Array], jax.Array] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.test.source.image_shape


def load_parts(
    name: str,
    settings: Settings,
    *,
    images: int = 2000,
    batch_size: int = 50,
    held_out: int = 1000,
    tested: int = 2000,
) -> Parts:
    """Returns a set's first `held_out` training images, then `images` for each seed.

    Args:
        name: `"mnist"` or `"cifar10"`.
        settings: The flags.
        images: To train on, for each seed.
        batch_size: Of training.
        held_out: Images to choose by.
        tested: The first so many images of the test part.
    """
    if settings.fast:
        images, batch_size, held_out, tested = 20, 10, 20, 20
    count = held_out + images * len(settings.numbers)
    if settings.fast:
        whole, test = made_up(name, count), made_up(name, tested)
    else:
        whole = load_source(name, f"train[:{count}]")
        test = load_source(name, f"test[:{tested}]")
    train = []
    for seed in settings.numbers:
        first = held_out + seed * images
        chosen = whole.subset(np.arange(first, first + images))
        train.append(TrainData(chosen, batch_size, seed))
    held = whole.subset(np.arange(held_out))
    preprocess = make_preprocess(PreprocessConfig(*whole.channel_stats()))
    batch_size = min(500, held_out)
    return Parts(
        train, EvalData(held, batch_size), EvalData(test, batch_size), preprocess
    )


def made_up(name: str, count: int) -> Source:
    """Returns noise of that set's shape."""
    draw = np.random.default_rng(count)
    images = draw.integers(0, 256, (count, *SHAPES[name]), np.uint8)
    classes = tuple("0123456789")
    return Source(name, images, np.arange(count) % 10, classes, "made up")


class Run(NamedTuple):
    """A training: its last state, and a record for every point of its curve."""

    state: TrainState
    curve: list[dict[str, float]]


class Trainer:
    """The compiled steps of one model, which serve all seeds and learning rates.

    Args:
        model: A Linen module.
        parts: The images.
        optimizer: A name of `jaxcnn.optim.make_optimizer`.
        task: What to learn; classes by default.
        score: The metric to choose by, the higher the better.
        **options: More of `make_train_step`, such as `augment`.
    """

    def __init__(
        self,
        model: nn.Module,
        parts: Parts,
        *,
        optimizer: str = "adam",
        task: Any = None,
        score: str = "accuracy",
        **options: Any,
    ) -> None:
        self.model, self.parts, self.score = model, parts, score
        task = task or jaxcnn.classification()
        freeze = options.get("freeze")
        # The rate stands in the state, so that one compiled step serves all rates.
        tx = make_optimizer(optimizer, 1.0, rate_factor=True, freeze=freeze)
        self.tx = tx
        image = jax.ShapeDtypeStruct((1, *parts.shape), np.float32)
        self.start = jax.jit(lambda key: jaxcnn.init_state(model, tx, key, image))
        step = jaxcnn.make_train_step(
            model, tx, task, preprocess=parts.preprocess, **options
        )
        self.step = jaxcnn.parallelize(step)
        measure = jaxcnn.make_eval_step(model, task, preprocess=parts.preprocess)
        self._measure = jaxcnn.parallelize(measure)

    def measure(self, state: TrainState, data: Iterable[Any]) -> dict[str, float]:
        """Returns loss and accuracy of a state."""
        return jaxcnn.evaluate(self._measure, state, data)

    def run(
        self, seed: int, rate: float, steps: int, state: TrainState | None = None
    ) -> Run:
        """Returns what a training ends with, from the seed's weights or from `state`.

        The training loss of a record is the mean over the batches since the last one.
        """
        state = self.start(jax.random.key(seed)) if state is None else state
        state = state.replace(opt_state=set_rate_factor(state.opt_state, rate))
        points = np.unique(np.linspace(0, steps, POINTS + 1).round().astype(int)[1:])
        curve, losses = [], []
        for k in range(steps):
            state, metrics = self.step(state, self.parts.train[seed][k])
            losses.append(metrics["loss"])
            if k + 1 in points:
                found = self.measure(state, self.parts.validation)
                train = np.mean([m.total / m.count for m in jax.device_get(losses)])
                record = {"step": k + 1, "train_loss": float(train)}
                curve.append(record | {k: found[k] for k in ("loss", self.score)})
                losses = []
        return Run(state, curve)


def train_seeds(
    trainer: Trainer,
    settings: Settings,
    steps: int,
    rates: Sequence[float],
    *,
    measure: Callable[[Trainer, int, TrainState], dict[str, Any]] | None = None,
    start: Callable[[int], TrainState] | None = None,
) -> dict[str, Any]:
    """Returns the curves and test results of all seeds, at the best of the rates.

    Args:
        trainer: Of the model.
        settings: The flags.
        steps: Updates of a run.
        rates: Tried with seed 0; the best last score on validation wins.
        measure: What to keep of a run beside that: `measure(trainer, seed, state)`.
        start: Where the run of a seed starts, if not at the model's first weights.
    """

    def run(seed: int, rate: float) -> Run:
        return trainer.run(seed, rate, steps, start(seed) if start else None)

    first = {rate: run(0, rate) for rate in rates}
    tried = {rate: found.curve[-1][trainer.score] for rate, found in first.items()}
    rate = max(tried, key=tried.__getitem__)
    entry: dict[str, Any] = {"rate": rate, "tried": tried, "curves": [], "test": []}
    for seed in settings.numbers:
        found = first[rate] if seed == 0 else run(seed, rate)
        entry["curves"].append(found.curve)
        entry["test"].append(trainer.measure(found.state, trainer.parts.test))
        if measure is not None:
            kept = measure(trainer, seed, found.state)
            entry.setdefault("measured", []).append(kept)
    return entry


def compare(
    models: Mapping[str, nn.Module],
    parts: Parts,
    settings: Settings,
    steps: int,
    rates: Sequence[float] = (3e-3,),
    *,
    measure: Callable[[Trainer, int, TrainState], dict[str, Any]] | None = None,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Returns what `train_seeds` finds for every model, with its parameters.

    Args:
        models: By the name in table and picture.
        parts: The images.
        settings: The flags.
        steps: Updates of a run.
        rates: To choose from.
        measure: As in `train_seeds`.
        **options: Of `Trainer`.
    """
    results = {}
    for name, model in models.items():
        trainer = Trainer(model, parts, **options)
        entry = train_seeds(trainer, settings, steps, rates, measure=measure)
        results[name] = {"parameters": count(model, parts.shape), **entry}
        scores = [found[trainer.score] for found in entry["test"]]
        print(f"{name}: test {spread(scores, 3)}", flush=True)
    return results


def count(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Returns the number of parameters for images of that shape."""
    return jaxcnn.summarize(model, (1, *shape)).params


def accuracies(entry: Mapping[str, Any]) -> list[float]:
    """Returns the test accuracy of every seed, in per cent."""
    return [100 * found["accuracy"] for found in entry["test"]]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Returns mean and sample deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns a table in Markdown: names to the left, numbers to the right."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def panels(count: int, height: float = 3.6) -> tuple[Figure, list[Any]]:
    """Returns a figure and its panels side by side."""
    figure = Figure(figsize=(4.6 * count, height), layout="constrained")
    found = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.grid(color=LIGHT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=GREY, labelsize=8)
    return figure, found


def lines(
    axes: Any,
    x: Sequence[float],
    runs: Any,
    name: str,
    place: int,
    **options: Any,
) -> None:
    """Draws the mean of runs `[seed, point]`, and shades what they span."""
    runs = np.asarray(runs, float)
    colour = COLOURS[place % len(COLOURS)]
    axes.plot(x, runs.mean(axis=0), color=colour, label=name, lw=1.7, **options)
    axes.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.13)


def curves(axes: Any, results: Mapping[str, Any], metric: str = "accuracy") -> None:
    """Draws a metric of all variants over the steps."""
    for place, (name, entry) in enumerate(results.items()):
        steps = [record["step"] for record in entry["curves"][0]]
        values = [[r[metric] for r in curve] for curve in entry["curves"]]
        lines(axes, steps, values, name, place)
    label = {"accuracy": "validation accuracy", "loss": "validation cross entropy"}
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.set_ylabel(label.get(metric, "training cross entropy"), fontsize=9, color=INK)
    axes.legend(frameon=False, fontsize=7.5, labelcolor=INK)


def finish(figure: Figure, path: Path) -> None:
    """Writes the picture."""
    write_figure(figure, path)


def main(
    doc: str | None,
    file: str,
    run: Callable[[Settings], dict[str, Any]],
    draw: Callable[[dict[str, Any], Path], None],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Reads the flags, runs the experiment, writes its results and its picture.

    Args:
        doc: The file's docstring, which is its help.
        file: The file: its stem names the results and the picture.
        run: Trains.
        draw: Writes the picture of the results.
        table: Returns their table in Markdown.
    """
    settings = tyro.cli(Settings, description=doc)
    name, out, pictures = Path(file).stem, RESULTS, IMAGES
    if settings.out is not None or settings.fast:
        out = pictures = settings.out or Path(tempfile.mkdtemp(prefix="course_"))
    path = out / f"{name}.json"
    if not settings.redraw:
        keep_compiled()
        start = time.process_time()
        results = run(settings)
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, {"results": rounded(results), **origin(settings, start)})
    # Also a new run is drawn from its file, as keys of JSON are words.
    results = json.loads(path.read_text())["results"]
    draw(results, pictures / f"course_{name}.png")
    print(f"\n{table(results)}\n\n{path}")


def origin(settings: Settings, start: float) -> dict[str, Any]:
    """Returns with what the results were made, and the processor's time."""
    return {
        "flags": {
            k: v for k, v in vars(settings).items() if k not in ("out", "redraw")
        },
        "cpu_seconds": round(time.process_time() - start),
        "versions": {"jaxcnn": jaxcnn.__version__, "jax": jax.__version__},
        "machine": f"{jax.devices()[0].device_kind}, {platform.machine()}",
    }


def rounded(tree: Any) -> Any:
    """Returns the results as JSON keeps them, at five digits: small files."""
    if isinstance(tree, Mapping):
        return {str(name): rounded(value) for name, value in tree.items()}
    if isinstance(tree, np.ndarray):
        return rounded(tree.tolist())
    if isinstance(tree, list | tuple):
        return [rounded(value) for value in tree]
    if isinstance(tree, float | np.floating):
        return float(f"{tree:.5g}")
    return tree
