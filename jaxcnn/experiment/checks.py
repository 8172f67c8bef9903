"""What may be wrong with a configuration, found before anything is built."""

import math

from jaxcnn.data.randomness import check_seed
from jaxcnn.experiment.config import PRECISIONS, DataConfig, ExperimentConfig
from jaxcnn.experiment.transfer_config import check_transfer
from jaxcnn.layers.checks import check_choice
from jaxcnn.train.hooks.profile import parse_window


def validate(config: ExperimentConfig) -> None:
    """Raises ValueError for a number out of its range, naming the field.

    Raises:
        ValueError: also for fields that exclude each other, or miss another.
    """
    _check_numbers(config)
    if config.profile is not None:
        parse_window(config.profile)
    check_choice("precision", config.precision, PRECISIONS)
    if config.overwrite and not config.fresh:
        raise ValueError("overwrite needs fresh: --fresh --overwrite deletes a run.")
    _check_task(config)
    _check_trials_and_folds(config)
    _check_optimizer(config)
    _check_decoding(config.data)
    check_transfer(config.transfer)
    _check_resident(config)


def _check_numbers(config: ExperimentConfig) -> None:
    positive = {
        "epochs": config.epochs,
        "steps": config.steps,
        "eval_every": config.eval_every,
        "save_every": config.save_every,
        "log_every": config.log_every,
        "time_limit": config.time_limit,
        "layer_statistics": config.layer_statistics,
        "peak_flops": config.peak_flops,
        "data.batch_size": config.data.batch_size,
        "data.eval_batch_size": config.data.eval_batch_size,
        "optimizer.learning_rate": config.optimizer.learning_rate,
        "accumulate": config.accumulate,
        "steps_per_call": config.steps_per_call,
        "optimizer.base_batch_size": config.optimizer.base_batch_size,
        "data.image_size": config.data.image_size,
        "data.worker_timeout": config.data.worker_timeout,
        "data.cache_size": config.data.cache_size,
    }
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")
        if value == math.inf:
            raise ValueError(f"{name} must be finite, got {value}.")
    for name, value in {
        "patience": config.patience,
        "min_delta": config.min_delta,
        "data.noise": config.data.noise,
        "data.folds": config.data.folds,
        "fast_dev_run": config.fast_dev_run,
        "overfit_batches": config.overfit_batches,
    }.items():
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, got {value}.")
    if not 0 <= config.seed < 2**32:
        # JAX would take the lower 32 bits alone: another seed, the same parameters.
        raise ValueError(f"seed must be in [0, 2**32), got {config.seed}.")


def _check_task(config: ExperimentConfig) -> None:
    if config.task != "classification" and config.data.standardize:
        raise ValueError(
            "data.standardize is for classification: a reconstruction is compared with "
            "pixels in [0, 1]. Give --data.no-standardize."
        )
    if config.task != "classification" and config.label_smoothing:
        raise ValueError("label_smoothing is for the task 'classification'.")
    if config.task != "classification" and config.loss.class_weights is not None:
        raise ValueError("loss.class_weights are for the task 'classification'.")
    if config.task == "capsules" and (config.loss.name or config.loss.options):
        raise ValueError(
            "The task 'capsules' has its own loss: loss.name and loss.options are for "
            "the other tasks."
        )
    if config.loss.options and not config.loss.name:
        raise ValueError("loss.options need the loss by name: set loss.name.")
    if config.data.noise and config.task != "reconstruction":
        raise ValueError("data.noise is for the task 'reconstruction'.")


def _check_optimizer(config: ExperimentConfig) -> None:
    if config.patience and not config.data.held_out:
        raise ValueError("patience needs a validation part: set data.validation.")
    if config.optimizer.schedule == "plateau" and not config.data.held_out:
        raise ValueError(
            "optimizer.schedule 'plateau' needs a validation part: set data.validation."
        )
    if config.optimizer.warmup is not None and config.optimizer.warmup_epochs:
        raise ValueError(
            "optimizer.warmup and optimizer.warmup_epochs exclude each other."
        )


def _check_decoding(data: DataConfig) -> None:
    if data.decode not in ("memory", "lazy"):
        raise ValueError(
            f"data.decode must be 'memory' or 'lazy', got {data.decode!r}."
        )
    if data.decode == "lazy" and data.noise:
        raise ValueError("data.noise needs data.decode 'memory'.")
    if data.decode == "lazy" and data.image_size is None:
        raise ValueError("data.decode 'lazy' needs data.image_size, such as 224.")
    if data.workers < 0:
        raise ValueError(f"data.workers must be 0 or more, got {data.workers}.")
    if data.workers and data.decode != "lazy":
        raise ValueError(
            "data.workers decode batch by batch: they need data.decode 'lazy'."
        )
    if data.disk_cache and data.decode != "lazy":
        raise ValueError("data.disk_cache needs data.decode 'lazy'.")
    if data.cache_size is not None and not data.disk_cache:
        raise ValueError(
            f"data.cache_size is {data.cache_size}: it needs data.disk_cache."
        )
    if data.stretch and data.resize is not None:
        raise ValueError("data.resize is for a centre crop: not with data.stretch.")
    check_seed(data.split_seed)


def _check_resident(config: ExperimentConfig) -> None:
    if config.data.resident and config.data.decode == "lazy":
        raise ValueError("data.resident needs data.decode 'memory'.")
    if config.data.resident and config.parallel == "pmap":
        raise ValueError("data.resident is for parallel 'jit' and 'mesh', not 'pmap'.")
    if config.steps_per_call is not None and not config.data.resident:
        raise ValueError(
            f"steps_per_call is {config.steps_per_call}: it needs data.resident."
        )
    single = config.steps_per_call == 1
    for name in ("debug_nans", "profile"):
        if getattr(config, name) and config.data.resident and not single:
            raise ValueError(
                f"{name} looks at single steps: with data.resident it needs "
                "steps_per_call 1."
            )


def _check_trials_and_folds(config: ExperimentConfig) -> None:
    if config.fast_dev_run and config.overfit_batches:
        raise ValueError("fast_dev_run and overfit_batches exclude each other.")
    data = config.data
    if data.fold != 1 and not data.folds:
        raise ValueError(f"data.fold is {data.fold}: set data.folds, their number.")
    check_seed(data.fold_seed)
    _ = data.held_out  # raises for a fold that there is not
