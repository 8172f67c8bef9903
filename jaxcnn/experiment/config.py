"""The configuration of an experiment: frozen dataclasses of plain values."""

import dataclasses
import json
import typing
from typing import Annotated, Any, Literal

import tyro

from jaxcnn.data.folds import Fold
from jaxcnn.experiment.transfer_config import TransferConfig
from jaxcnn.losses.penalties import KERNELS
from jaxcnn.tree import nearest

#: The types that a model may compute in.
PRECISIONS = ("float32", "bfloat16", "float16")


def _parse_json(words: list[str]) -> dict[str, Any]:
    values = json.loads(words[0])
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {words[0]}")
    return values


#: Keyword arguments as one JSON object on the command line.
Arguments = Annotated[
    dict[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_parse_json,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]


def _parse_list(words: list[str]) -> list[Any]:
    values = json.loads(words[0])
    if not isinstance(values, list):
        raise ValueError(f"expected a JSON list, got {words[0]}")
    return values


#: A list as JSON on the command line.
Rules = Annotated[
    list,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_parse_list,
        is_instance=lambda value: isinstance(value, list),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The model, by its registered name."""

    name: str = "lenet"
    """One of `jaxcnn models`."""
    args: Arguments = dataclasses.field(default_factory=dict)
    """Its keyword arguments, such as '{"dropout": 0.5}'."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The images, and what is done to them."""

    name: str = "digits"
    """A source: digits, a TFDS name, folder:PATH, table:CSV, npz:FILE, idx:PATH, ..."""
    data_dir: str | None = None
    """Where the source's files are; TFDS_DATA_DIR by default."""
    split: str = "train"
    """The part to train on, such as train or train[:10%]."""
    test_split: str = "test"
    """The part that is measured once, at the end; empty for none."""
    validation: float = 0.1
    """Share of the training part that is set aside, stratified; 0 for none."""
    batch_size: int = 64
    """Examples in a training batch, over all devices."""
    eval_batch_size: int = 500
    """Examples in an evaluation batch, over all devices."""
    standardize: bool = True
    """Subtract the training images' mean and divide by their deviation, a channel."""
    augment: tuple[str, ...] = ()
    """Augmentations in order, such as "pad_crop(padding=4)" random_flip; or default."""
    noise: float = 0.0
    """Deviation of the Gaussian noise to remove (denoising); pixels are in [0, 1]."""
    sampling: Literal["uniform", "balanced", "sqrt"] = "uniform"
    """How often classes are drawn: as they occur, all alike, or in between."""
    folds: int = 0
    """Cut the training part into so many folds, instead of data.validation."""
    fold: int = 1
    """Which of the folds is the validation part."""
    fold_seed: int = 0
    """Chooses the examples of the folds."""

    @property
    def held_out(self) -> Fold | float:
        """What is set aside of the training part: a fold, or a share."""
        if self.folds:
            return Fold(self.fold, self.folds, self.fold_seed, self.split)
        return self.validation

    image_size: int | None = None
    """Pixels of a side that images are brought to; needed where they differ in size."""
    decode: Literal["memory", "lazy"] = "memory"
    """Decode all images at the start, or those of a batch when it is made."""
    resize: int | None = None
    """Lazy: shorter side before the centre crop; image_size / 0.875 by default."""
    random_crop: bool = True
    """Lazy: train on random resized crops; else on the centres that evaluation sees."""
    crop_area: tuple[float, float] = (0.08, 1.0)
    """Lazy: smallest and largest share of the image in a random crop."""
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Lazy: smallest and largest width over height of a random crop."""
    crop_flip: float = 0.5
    """Lazy: share of the random crops that are mirrored."""
    on_broken: Literal["error", "skip"] = "error"
    """Lazy: stop at an image that cannot be decoded, or go on without it."""
    workers: int = 0
    """Lazy: processes that decode; 0 decodes in a thread of this one."""
    worker_timeout: float = 120.0
    """Lazy: seconds that decoding one image may take before the run ends."""
    mode: str = "RGB"
    """Files: what each gives: RGB, L (gray), RGBA, or a number of channels (.npy)."""
    stack: tuple[str, ...] = ()
    """Files: those of an example: columns path:RGB ir:L, or patterns {}_ct.png:L."""
    window: tuple[float, ...] = ()
    """Files: centre and width of 16-bit values, such as 40 400; or a pair each file."""
    edges: bool = False
    """Files: add a channel with the edges (Sobel) of the first file."""
    group: str | None = None
    """Files: what must not be parted, by a pattern of the path: "patient([0-9]+)"."""
    columns: Arguments = dataclasses.field(default_factory=dict)
    """Tables: columns by other names, such as '{"label": "finding"}'."""
    test_share: float = 0.2
    """Files without splits: the share that is set aside as test, stratified."""
    split_seed: int = 0
    """Files without splits: chooses the examples of that share."""
    mask_values: tuple[int, ...] = ()
    """Masks: which value of a file is class 0, 1, ..., such as 0 255."""
    stretch: bool = False
    """Files: show the whole image out of proportion, not the centre, in evaluation."""
    disk_cache: bool = False
    """Lazy: decode once, and keep the decoded images on disk."""
    cache_size: int | None = None
    """Lazy: side of the kept images that random crops are cut from."""
    resident: bool = False
    """Keep all training examples on the device, and make the batches there."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer and its learning rate."""

    name: str = "sgd"
    """sgd, momentum, nesterov, adam, adamw, muon, ...: see docs/optimizers.md."""
    learning_rate: float = 0.01
    """The peak of the schedule."""
    base_batch_size: int | None = None
    """The batch size that learning_rate is for: others scale it in proportion."""
    schedule: str = "constant"
    """constant, cosine, step, one_cycle, plateau, ...: see docs/optimizers.md."""
    schedule_options: Arguments = dataclasses.field(default_factory=dict)
    """The schedule's own, such as '{"final_factor": 0.1}' or '{"every": "30ep"}'."""
    warmup_epochs: float = 0.0
    """Passes over the data in which the rate grows; at most half of the steps."""
    options: Arguments = dataclasses.field(default_factory=dict)
    """The optimizer's own, such as '{"momentum": 0.5}'."""
    weight_decay: float = 0.0
    """On kernels only."""
    clip_norm: float | None = None
    """Largest global norm of the gradient."""
    warmup: str | None = None
    """The warm-up as "500" steps, "5 epochs" or "10%", instead of warmup_epochs."""
    clip_value: float | None = None
    """Largest magnitude of an entry of the gradient."""
    clip_adaptive: float | None = None
    """Largest ratio of a unit's gradient to its weights, but for the head's (AGC)."""
    centralize: bool = False
    """Centre the gradient of every unit of a kernel."""
    lookahead: int | None = None
    """Steps after which slow weights catch up with the fast ones."""
    lookahead_alpha: float = 0.5
    """How far they do."""
    rules: Rules = dataclasses.field(default_factory=list)
    """Rates by path: '[["^stem/", 0.1], ["bn", null], ["", {"schedule": "step"}]]'."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is made small."""

    name: str | None = None
    """One of the losses for the task, such as focal_loss; the task's own by default."""
    options: Arguments = dataclasses.field(default_factory=dict)
    """The loss's own, such as '{"gamma": 2.0}'."""
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    """A weight for every class, or balanced: by the training part's counts."""


@dataclasses.dataclass(frozen=True)
class PenaltyConfig:
    """A penalty of parameters, added to the loss and logged apart from it."""

    l1: float = 0.0
    """Strength of the sum of absolute values."""
    l2: float = 0.0
    """Strength of half of the sum of squares; with l1 an elastic net."""
    pattern: str = KERNELS
    """The parameters, by regular expression."""
    rules: Arguments = dataclasses.field(default_factory=dict)
    """More of the same by pattern, such as '{"^head/": {"l2": 0.001}}'."""


@dataclasses.dataclass(frozen=True)
class ShardingConfig:
    """What every device holds a part of, over a mesh: see docs/parallel.md."""

    min_size: int | None = None
    """Split parameters of so many numbers or more along their largest axis."""
    rules: Rules = dataclasses.field(default_factory=list)
    """The axis by path, null to copy: '[["^head/", 0], ["bias$", null]]'."""
    axis: str = "fsdp"
    """The mesh axis to split over."""


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """A training run from data to report."""

    name: str = "experiment"
    """Names the run folder."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    task: Literal["classification", "reconstruction", "capsules"] = "classification"
    """What to learn: classes, to give the image back, or both by capsules."""
    loss: LossConfig = LossConfig()
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    penalty: PenaltyConfig = PenaltyConfig()
    epochs: float = 10.0
    """Passes over the training data."""
    steps: int | None = None
    """Updates in all, instead of epochs."""
    eval_every: int | None = None
    """Steps between evaluations on the validation part; one epoch by default."""
    save_every: int | None = None
    """Steps between checkpoints; one epoch by default."""
    log_every: int = 50
    """Steps between records of the training metrics."""
    best_metric: Literal["accuracy", "loss", "quadratic_kappa"] | None = None
    """What the best checkpoint is best in, on validation; the task's own by default."""
    patience: int = 0
    """Stop early after so many evaluations without a better one; 0 for never."""
    min_delta: float = 0.0
    """Better means better by more than this."""
    seed: int = 0
    """Of the parameters, the order of the data, augmentation and dropout."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the computation; parameters stay float32. float16 scales the loss."""
    accumulate: int = 1
    """Microbatches that each batch is gone through in, for one update: saves memory."""
    ema: float | None = None
    """Decay of an average of the weights, such as 0.999, that is used instead."""
    ema_warmup: bool = True
    """Let the decay of the average grow from 0.1."""
    ema_every: int = 1
    """Steps from one averaging to the next."""
    on_nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    """If a loss or state is not finite: stop, skip the step, go back and without it."""
    nonfinite_limit: int = 10
    """Skips in a row, or rollbacks in all, after which the run ends."""
    debug_nans: bool = False
    """Name the layer that was not finite first; slower, and takes memory."""
    parallel: Literal["jit", "mesh", "pmap"] = "jit"
    """One device, all devices by a mesh, or all by pmap."""
    mesh: Arguments = dataclasses.field(default_factory=dict)
    """The mesh's axes, -1 for the rest: '{"data": 2, "fsdp": -1}'; one by default."""
    sharding: ShardingConfig = ShardingConfig()
    transfer: TransferConfig = dataclasses.field(default_factory=TransferConfig)
    batch_statistics: str = "global"
    """Of BatchNorm: global, device, or a number of examples, such as 32, in a group."""
    time_limit: float | None = None
    """Seconds after which the run saves and ends, to be resumed."""
    tensorboard: bool = False
    """Also write TensorBoard files."""
    profile: str | None = None
    """Trace the steps START:STOP, such as 10:15, into the run folder's profile."""
    layer_statistics: int | None = None
    """Steps between looks at gradients, updates and activations of every layer."""
    peak_flops: float | None = None
    """FLOP/s of a device, for the utilisation; known for many accelerators."""
    fast_dev_run: int = 0
    """Try everything on so many batches, in the folder RUN-dev; 3 without a number."""
    overfit_batches: int = 0
    """Train and evaluate on the same so many batches, in the folder RUN-overfit."""
    steps_per_call: int | None = None
    """With data.resident: steps of a compiled call; an epoch on accelerators, or 1."""
    keep_compiled: bool = True
    """Keep compiled programs under JAXCNN_HOME, so that the next start is quicker."""
    keep_memory: bool = True
    """Keep memory that a step frees for the next one, where the C library can."""
    deterministic: bool = False
    """The same numbers to the bit in every run, also on a GPU; slower there."""
    run: str | None = None
    """The run folder; runs/NAME by default."""
    fresh: bool = False
    """Start anew, even if the run folder holds a run; then add --overwrite."""
    overwrite: bool = False
    """With --fresh: yes, delete the run that is there."""

    @property
    def run_dir(self) -> str:
        """The run folder; that of a trial is never that of the run."""
        suffix = "-dev" if self.fast_dev_run else ""
        suffix = "-overfit" if self.overfit_batches else suffix
        return (self.run or f"runs/{self.name}").rstrip("/") + suffix

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for `config.json`."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ExperimentConfig":
        """Returns the configuration that `to_json` wrote.

        Raises:
            ValueError: if a field is not one of ours, with the nearest name.
        """
        values = dict(values)
        if "bfloat16" in values:  # what `precision` was before it had a third value
            half = values.pop("bfloat16")
            values["precision"] = "bfloat16" if half else "float32"
        return _from_json(cls, values)


def _from_json(cls: type, values: dict[str, Any]) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        if name not in fields:
            raise ValueError(
                f"{cls.__name__} has no field {name!r}.{nearest(name, fields)}"
            )
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = _from_json(hint, value)
        elif isinstance(value, list) and _may_be_tuple(hint):
            value = tuple(value)
        arguments[name] = value
    return cls(**arguments)


def _may_be_tuple(hint: Any) -> bool:
    """Returns whether a field is a tuple, or may be one: JSON has lists alone."""
    choices = (hint, *typing.get_args(hint))
    return any(typing.get_origin(choice) is tuple for choice in choices)


__all__ = [
    "DataConfig",
    "ExperimentConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PenaltyConfig",
    "ShardingConfig",
    "TransferConfig",
]
