"""From a configuration to the parts of a training run: the module that knows all."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxcnn.augment import compose, gaussian_noise, make_augment
from jaxcnn.augment.by_name import mixes_labels
from jaxcnn.augment.defaults import expanded
from jaxcnn.data import EvalData, ResidentData, TrainData, WorkerData
from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.experiment.batches import make_batches
from jaxcnn.experiment.checks import validate
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.devices import grouped, mesh_of, shard_of
from jaxcnn.experiment.hosts import require_mesh
from jaxcnn.experiment.objective import make_config_penalty, make_task
from jaxcnn.experiment.optimizer import make_tx, plateau_of, schedule_of, total_steps
from jaxcnn.experiment.run_config import make_run_config
from jaxcnn.experiment.selection import evaluation_task
from jaxcnn.experiment.stability import check_stability, guarded, measured, started
from jaxcnn.experiment.transfer import Transfer, freezes_of, transfer_of
from jaxcnn.optim import PlateauRule
from jaxcnn.run import RunConfig
from jaxcnn.train import (
    DebugNans,
    LossScale,
    ParallelStep,
    Task,
    TrainState,
    init_loss_scale,
    init_state,
    make_eval_step,
    make_train_step,
    parallelize,
    placed,
)
from jaxcnn.train.freezing import in_phases
from jaxcnn.typing import PyTree

_AXIS = "batch"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All parts of a training run, ready to be put together or replaced.

    Attributes:
        config: What it was built from.
        model: The Linen module.
        tx: The optimizer.
        schedule: The learning rate of every step.
        task: Loss and metrics.
        train: The training batches.
        validation: The evaluation batches of the validation part, or None.
        test: The evaluation batches of the test part, or None.
        num_steps: Updates in all.
        step: The compiled train step.
        eval_step: The compiled evaluation step.
        run_config: What the run folder will say of itself.
        plateau: When the validation metric is to reduce the rate, or None.
        augment: What is done to a batch of training images, or None.
        penalty: What is added to the loss, or None.
        transfer: The trained weights that it starts from, or None.
    """

    config: ExperimentConfig
    model: nn.Module
    tx: optax.GradientTransformation
    schedule: Callable[[int], Any]
    task: Task
    train: TrainData | WorkerData | ResidentData
    validation: EvalData | WorkerData | None
    test: EvalData | WorkerData | None
    num_steps: int
    step: ParallelStep
    eval_step: ParallelStep
    run_config: RunConfig
    plateau: PlateauRule | None = None
    augment: Callable[..., Any] | None = None
    penalty: Callable[[PyTree], Any] | None = None
    transfer: Transfer | None = None

    def init_state(self) -> TrainState:
        """Returns the state before the first step, a function of seed and weights."""
        state = self._init_state()
        if self.transfer is not None:
            state = self.transfer.put_in(state, self.run_config, self.tx)
        return self._started(state)

    def _init_state(self) -> TrainState:
        shape = (1, *self.train.source.image_shape)
        images = jax.ShapeDtypeStruct(shape, jnp.float32)
        key = jax.random.key(self.config.seed)
        return init_state(
            self.model, self.tx, key, images, shardings=self.step.shardings
        )

    def _started(self, state: TrainState) -> TrainState:
        if self.config.precision == "float16":
            state = init_loss_scale(state)
        return started(state, self.config)

    def abstract_state(self) -> TrainState:
        """Returns the shapes of the state, and where its parts lie if it is sharded."""
        state = jax.eval_shape(lambda: self._started(self._init_state()))
        if self.step.shardings is None:
            return state
        return placed(state, self.step.shardings(state))

    def debug_nans(self) -> DebugNans:
        """Returns the hook that names the layer in which a step went wrong."""
        return DebugNans(
            self.run_config.build_model(),
            self.task,
            self.train,
            preprocess=make_preprocess(self.run_config.preprocess),
            augment=_augment(self.config, self.run_config),
            penalty=make_config_penalty(self.config),
        )

    def close(self) -> None:
        """Ends the processes that decode, if there are any."""
        for data in (self.train, self.validation, self.test):
            if isinstance(data, WorkerData):
                data.close()


def build(
    config: ExperimentConfig, *, schedule: Callable[[Any], Any] | None = None
) -> Experiment:
    """Returns the parts of the run that a configuration describes.

    Args:
        config: What to do.
        schedule: The learning rate of every step, instead of the configuration's.

    Raises:
        ValueError: for a name or a number that is not allowed, or data that do not fit.
        OSError: if the data are not there.
    """
    validate(config)
    check_stability(config)
    require_mesh(config)
    task, penalty = make_task(config), make_config_penalty(config)
    mesh, shard = mesh_of(config), shard_of(config)
    source, train, validation, test = make_batches(config)
    transfer = transfer_of(config, source)
    run_config = make_run_config(config, source, transfer)
    if run_config.class_weights:
        task = make_task(config, run_config.class_weights)
    model = _model(run_config, config)
    per_epoch = train.steps_per_epoch
    num_steps = total_steps(config, per_epoch)
    schedule = schedule or schedule_of(config, per_epoch)
    freezes = freezes_of(config, transfer, run_config, num_steps, per_epoch)
    tx = make_tx(config, schedule, per_epoch, **freezes.optimizer)
    augment = _augment(config, run_config)
    preprocess = make_preprocess(run_config.preprocess)
    axis_name = _AXIS if config.parallel == "pmap" else None
    make_step = functools.partial(
        make_train_step,
        model,
        tx,
        task,
        preprocess=preprocess,
        augment=augment,
        penalty=penalty,
        accumulate=config.accumulate,
        loss_scale=LossScale() if config.precision == "float16" else None,
        axis_name=axis_name,
    )
    starts, frozen = zip(*freezes.phases, strict=True)
    step = in_phases([make_step(freeze=what) for what in frozen], list(starts))
    step = grouped(step, config, mesh)
    eval_task = evaluation_task(task, config)
    eval_step = make_eval_step(
        model, eval_task, preprocess=preprocess, axis_name=axis_name
    )
    how = config.parallel if mesh is None else mesh
    experiment = Experiment(
        config=config,
        model=model,
        tx=tx,
        schedule=schedule,
        task=task,
        train=train,
        validation=validation,
        test=test,
        num_steps=num_steps,
        step=parallelize(guarded(step, config), how, shard=shard),
        eval_step=parallelize(measured(eval_step, config), how, shard=shard),
        run_config=run_config,
        plateau=plateau_of(config.optimizer),
        augment=augment,
        penalty=penalty,
        transfer=transfer,
    )
    if shard is not None:
        experiment.abstract_state()  # refuses rules that do not fit the parameters
    return experiment


def _model(run_config: RunConfig, config: ExperimentConfig) -> nn.Module:
    model = run_config.build_model()
    shared = config.batch_statistics == "global"
    body = getattr(model, "body", model)  # behind which another head stands
    if config.parallel == "pmap" and shared and hasattr(body, "axis_name"):
        named = body.clone(axis_name=_AXIS)
        model = named if body is model else model.clone(body=named)
    return model


def _augment(config: ExperimentConfig, run_config: RunConfig) -> Any:
    late = config.data.decode == "lazy" and config.data.random_crop
    specs = expanded(config.data.augment, config.data.name, decoded_late=late)
    mixing = [spec for spec in specs if mixes_labels(spec)]
    if mixing and config.task != "classification":
        raise ValueError(
            f"data.augment {mixing[0]!r} mixes classes: it is for the task "
            "'classification'."
        )
    classes = run_config.model_args.get("num_classes")
    given = {"num_classes": classes, "seed": config.seed}
    augments = [make_augment(spec, **given) for spec in specs]
    if config.overfit_batches:
        augments = []  # the same images again and again
    if config.data.noise:
        augments.append(gaussian_noise(config.data.noise))
    return compose(*augments) if augments else None
