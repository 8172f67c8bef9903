"""From a configuration to the weights that a run starts from, and what it freezes."""

import dataclasses
from typing import Any

import jax
from etils import epath

from jaxcnn.data import Source
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.transfer_config import TransferConfig
from jaxcnn.models.depth import Depth
from jaxcnn.optim import parse_duration
from jaxcnn.optim.groups import first_match
from jaxcnn.registry import create_model
from jaxcnn.run import CONFIG_FILE, RunConfig
from jaxcnn.train import TrainState
from jaxcnn.train.freezing import Freezing
from jaxcnn.transfer.pretrained import pretrained_config
from jaxcnn.transfer.propose import (
    TransferProposal,
    propose_strategy,
    propose_transfer,
)
from jaxcnn.transfer.start import StartWeights, known_preprocess, put_weights

#: Of the model's arguments, what is not of the weights.
_NOT_OF_WEIGHTS = ("num_classes", "dtype", "axis_name")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What a run takes over, and what of it is trained.

    Attributes:
        settings: The configuration's, with what its strategy stands for filled in.
        start: The weights, or None; they are read when a run begins, not when it goes
            on.
        record: What the run folder says of all this, plain values.
    """

    settings: TransferConfig
    start: StartWeights | None = None
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def model_args(self) -> dict[str, Any]:
        """Options that the model needs for the weights."""
        return dict(self.record.get("model_args", {}))

    def head(self) -> dict[str, Any]:
        """Returns what `RunConfig.head` holds: empty for the model's own."""
        if not self.settings.new_head:
            return {}
        names = ("cut_at", "hidden", "dropout", "head")
        return {name: getattr(self.settings, name) for name in names}

    def preprocess(self, channels: int) -> PreprocessConfig | None:
        """Returns what is known of the weights' preprocessing, for such images."""
        known = self.record.get("preprocess")
        if known is None or self.settings.preprocess == "data":
            return None
        return known_preprocess(PreprocessConfig.from_json(known), channels)

    def put_in(self, state: TrainState, run_config: RunConfig, tx: Any) -> TrainState:
        """Returns the state before the first step, with the trained weights in it.

        Raises:
            ValueError: if they do not fit, or are not those that the run folder names.
            OSError: if they are not there.
        """
        if self.start is None:
            return state
        if self.start.fingerprint != self.record["fingerprint"]:
            raise ValueError(
                f"transfer.weights {self.settings.weights!r} are not what they were "
                "when the run folder was made. Give another --run, or --fresh "
                "--overwrite."
            )
        model, shape = run_config.build_model(), run_config.input_shape
        new = () if self.settings.keep_head else Depth(model, shape).head
        leaves = self.start.leaves(shape[-1])
        whole = put_weights(state.variables, leaves, new)
        whole = jax.tree.map(
            lambda x, old: jax.device_put(x, old.sharding), whole, state.variables
        )
        params = whole.pop("params")
        # Of these parameters: slow weights, for one, begin as a copy of them.
        places = jax.tree.map(lambda x: x.sharding, state.opt_state)
        opt_state = jax.jit(tx.init, out_shardings=places)(params)
        return state.replace(params=params, model_state=whole, opt_state=opt_state)


@dataclasses.dataclass(frozen=True)
class Freezes:
    """What is frozen, and from when on.

    Attributes:
        phases: Pairs of the first update and a `Freezing`, or None if nothing is.
        optimizer: The arguments of `make_tx` that say the same.
    """

    phases: tuple[tuple[int, Freezing | None], ...] = ((0, None),)
    optimizer: dict[str, Any] = dataclasses.field(default_factory=dict)


def transfer_of(config: ExperimentConfig, source: Source) -> Transfer | None:
    """Returns what a run takes over, or None if the configuration says nothing of it.

    Where the run folder says what its weights were, they are not looked for again.

    Raises:
        ValueError: if it is not for this task, or the weights do not fit.
        OSError: if the weights are not there.
    """
    transfer = config.transfer
    if transfer == TransferConfig():
        return None
    if config.task != "classification":
        raise ValueError(
            f"transfer is for the task 'classification', not {config.task!r}."
        )
    start, record = weights_of(config)
    proposal = proposal_of(config, source, record.get("model_args", {}))
    if proposal is not None:
        settings = {
            name: getattr(proposal, name)
            for name in ("freeze", "cut_at", "lr_decay")
            if getattr(transfer, name) is None
        }
        transfer = dataclasses.replace(transfer, **settings)
        record = record | {
            "case": proposal.case,
            "strategy": proposal.strategy,
            "reason": proposal.reason,
        }
    names = ("cut_at", "freeze", "statistics", "unfreeze", "lr_decay")
    record = record | {name: getattr(transfer, name) for name in names}
    return Transfer(transfer, start, record)


def weights_of(
    config: ExperimentConfig,
) -> tuple[StartWeights | None, dict[str, Any]]:
    """Returns the weights, not read yet if the run folder knows them, and their record.

    Raises:
        ValueError: if they are of another model, or of an unknown kind.
        OSError: if they are not there.
    """
    if config.transfer.weights is None:
        return None, {}
    options = {k: v for k, v in config.model.args.items() if k not in _NOT_OF_WEIGHTS}
    start = StartWeights(config.model.name, config.transfer.weights, options)
    return start, _recorded(config) or _record(start, config.transfer)


def proposal_of(
    config: ExperimentConfig, source: Source, model_args: dict[str, Any]
) -> TransferProposal | None:
    """Returns what a configuration's strategy stands for, or None without one.

    Args:
        config: What to do.
        source: The training part.
        model_args: Options that the model needs for the weights.
    """
    transfer = config.transfer
    if transfer.strategy is None:
        return None
    arguments = {**model_args, **config.model.args}
    arguments = {k: v for k, v in arguments.items() if k not in _NOT_OF_WEIGHTS}
    model = create_model(config.model.name, **arguments)
    known = {"model": model, "image_shape": source.image_shape}
    if transfer.cut_at is not None:
        known = {}  # the place of the cut was chosen
    if transfer.strategy != "auto":
        return propose_strategy(transfer.strategy, **known)
    return propose_transfer(
        len(source),
        transfer.similar == "yes",
        source.num_classes,
        small_below=transfer.small_below,
        **known,
    )


def freezes_of(
    config: ExperimentConfig,
    transfer: Transfer | None,
    run_config: RunConfig,
    num_steps: int,
    per_epoch: int,
) -> Freezes:
    """Returns what is frozen in a run, and the learning rates by depth.

    Raises:
        ValueError: if what is to be frozen is unknown, or unfreezing freezes more.
    """
    if transfer is None:
        return Freezes()
    settings = transfer.settings
    depth = Depth(run_config.build_model(), run_config.input_shape)
    plan = [(0, settings.freeze or "none"), *_plan(settings, num_steps, per_epoch)]
    patterns = [_named(depth, freeze) for _, freeze in plan]
    frozen = [
        {name for name in depth.names if first_match([(p or "$^", None)], name) == 0}
        for p in patterns
    ]
    wake = []
    for k in range(1, len(plan)):
        if not frozen[k] < frozen[k - 1]:
            raise ValueError(
                f"transfer.unfreeze {plan[k][1]!r} must freeze less than "
                f"{plan[k - 1][1]!r} before it."
            )
        wake.append((depth.pattern(frozen[k - 1] - frozen[k]), plan[k][0]))
    rules = [] if settings.lr_decay is None else depth.rates(settings.lr_decay)
    statistics = settings.statistics == "frozen"
    return Freezes(
        tuple(
            (start, p and Freezing(p, statistics=statistics))
            for (start, _), p in zip(plan, patterns, strict=True)
        ),
        {
            "freeze": patterns[-1],
            "wake": wake,
            "depth_rules": _deciding(rules, config.optimizer.rules, depth.names),
        },
    )


def _plan(
    settings: TransferConfig, num_steps: int, per_epoch: int
) -> list[tuple[int, str]]:
    """Returns from which update on what is frozen, after the first."""
    plan, last = [], 0
    for text in settings.unfreeze:
        freeze, _, when = text.rpartition("@")
        if not freeze:
            raise ValueError(
                f"transfer.unfreeze {text!r} must be what is frozen from a time on, "
                "such as 'through:stage1_block3@2 epochs' or 'none@500'."
            )
        start = parse_duration(
            when,
            total_steps=num_steps,
            steps_per_epoch=per_epoch,
            argument="transfer.unfreeze",
        )
        if start <= last:
            raise ValueError(
                f"transfer.unfreeze {text!r} begins at step {start}, not after "
                f"step {last}: the times must grow."
            )
        plan.append((start, freeze))
        last = start
    return plan


def _named(depth: Depth, freeze: str) -> str | None:
    try:
        return depth.frozen(freeze)
    except ValueError as error:
        raise ValueError(f"transfer: {error}") from None


def _deciding(
    rules: list[tuple[str, float]], before: list[Any], names: list[str]
) -> list[tuple[str, float]]:
    """Returns the rules that the user's, in front of them, leave something to."""
    own = [(rule[0], None) for rule in before]
    every = [*own, *rules]
    used = {first_match(every, name) for name in names}
    return [rule for k, rule in enumerate(rules, len(own)) if k in used]


def _recorded(config: ExperimentConfig) -> dict[str, Any] | None:
    """Returns what the run folder says of these weights, if it holds such a run."""
    path = epath.Path(config.run_dir)
    if config.fresh or config.fast_dev_run or not (path / CONFIG_FILE).exists():
        return None
    known = RunConfig.load(path)
    same = known.experiment.get("transfer", {}).get("weights")
    if same != config.transfer.weights or known.model != config.model.name:
        return None
    names = ("weights", "fingerprint", "model_args", "preprocess", "image_shape")
    if any(name not in known.transfer for name in names):
        return None
    return {name: known.transfer[name] for name in names}


def _record(start: StartWeights, transfer: TransferConfig) -> dict[str, Any]:
    known = start.config
    preprocess = known.preprocess
    if transfer.like is not None:
        preprocess = pretrained_config(start.model, transfer.like).preprocess
    return {
        "weights": transfer.weights,
        "fingerprint": start.fingerprint,
        "model_args": {
            k: v for k, v in known.model_args.items() if k not in _NOT_OF_WEIGHTS
        },
        "preprocess": preprocess and dataclasses.asdict(preprocess),
        "image_shape": known.image_shape,
    }


__all__ = [
    "Freezes",
    "Transfer",
    "freezes_of",
    "proposal_of",
    "transfer_of",
    "weights_of",
]
