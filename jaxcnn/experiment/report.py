"""The report of a run's classifier on a split of its data."""

import re
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data import LazySource, Source
from jaxcnn.data.preprocess import make_preprocess
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.measure import opened_run, state_of
from jaxcnn.experiment.other_data import evaluation_of
from jaxcnn.metrics import (
    ClassificationReport,
    Threshold,
    choose_threshold,
    classification_report,
)
from jaxcnn.metrics.thresholds import RULES, WISHES
from jaxcnn.run import Run
from jaxcnn.train import (
    Predictions,
    collect,
    make_collect_step,
    make_predict_step,
    make_tta_predict,
    parallelize,
)

VALIDATION = "validation"


def report_run(
    directory: epath.PathLike,
    split: str | None = None,
    *,
    step: str | int | None = None,
    raw: bool = False,
    data_dir: str | None = None,
    views: Any = (),
    threshold: str | None = None,
    ordered: bool = False,
    bootstrap: int = 1000,
    data: str | None = None,
) -> tuple[int, ClassificationReport]:
    """Returns the step that was measured and the report of its predictions.

    Args:
        directory: The run folder.
        split: As for `measure_run`.
        step: As for `load_run`.
        raw: As for `load_run`.
        data_dir: As for `measure_run`.
        views: As for `measure_run`.
        threshold: For two classes, from which probability of the second on it is
            predicted: a number, such as `"0.5"`; or chosen on the run's validation
            part, `"validation"` (Youden's), `"validation:f1"`,
            `"validation:recall=0.95"`.
        ordered: As for `classification_report`.
        bootstrap: As for `classification_report`.
        data: As for `measure_run`. A threshold is chosen on the run's own validation
            part all the same.

    Raises:
        ValueError: as `measure_run` does; if the run names no classes; for a threshold
            that is neither, that is for other than two classes, or that would be chosen
            on the examples that it is then measured on.
        OSError: if the data are missing.
    """
    options = {"step": step, "raw": raw, "data_dir": data_dir, "views": views}
    chosen = None
    if threshold is not None:
        own = split if data is None else None  # other data have none of that part
        chosen = threshold_of(directory, threshold, own, **options)
    options["data"] = data
    number, classes, found = predict_split(directory, split, **options)
    return number, classification_report(
        found.outputs,
        found.labels,
        classes,
        threshold=chosen,
        ordered=ordered,
        bootstrap=bootstrap,
    )


def threshold_of(
    directory: epath.PathLike, text: str, split: str | None = None, **options: Any
) -> float:
    """Returns the number that a threshold in words stands for.

    Args:
        directory: The run folder.
        text: As for `report_run`.
        split: The part that will be measured with it, if any.
        **options: `step`, `raw`, `data_dir` and `views`, as for `predict_split`.

    Raises:
        ValueError: as `report_run` does.
        OSError: if the data are missing.
    """
    chosen = parse_threshold(text)
    if isinstance(chosen, float):
        return chosen
    if split is not None and split.startswith(VALIDATION):
        raise ValueError(
            f"--threshold {text} is chosen on the validation part: a report "
            f"of the split {split!r} would be too good."
        )
    _, classes, found = predict_split(directory, VALIDATION, **options)
    if len(classes) != 2:
        raise ValueError(f"--threshold is for two classes; there are {classes}.")
    return _chosen(found, chosen).value


def predict_split(
    directory: epath.PathLike,
    split: str | None = None,
    *,
    step: str | int | None = None,
    raw: bool = False,
    data_dir: str | None = None,
    views: Any = (),
    data: str | None = None,
) -> tuple[int, tuple[str, ...], Predictions]:
    """Returns the step, the classes and the probabilities of all examples of a split.

    Args:
        directory: The run folder.
        split: As for `measure_run`.
        step: As for `load_run`.
        raw: As for `load_run`.
        data_dir: As for `measure_run`.
        views: As for `measure_run`.
        data: As for `measure_run`.

    Raises:
        ValueError: as `measure_run` does, or if the run names no classes.
        OSError: if the data are missing.
    """
    run, config = opened_run(
        directory, step=step, raw=raw, data_dir=data_dir, data=data
    )
    found, _ = predicted(run, config, split, views=views, other=data is not None)
    return run.step, run.class_names, found


def predicted(
    run: Run,
    config: ExperimentConfig,
    split: str | None = None,
    *,
    views: Any = (),
    other: bool = False,
) -> tuple[Predictions, Source | LazySource]:
    """Returns the probabilities of all examples of a split, and the examples.

    Args:
        run: From `opened_run`.
        config: From `opened_run`.
        split: As for `measure_run`.
        views: As for `measure_run`.
        other: Whether the data are not the run's own.

    Raises:
        ValueError: as `predict_split` does.
        OSError: if the data are missing.
    """
    if config.task != "classification":
        raise ValueError(
            f"A report is for the task 'classification', not {config.task!r}."
        )
    preprocess = make_preprocess(run.config.preprocess)
    if views:
        predict = make_tta_predict(run.model, views, preprocess=preprocess)
    else:
        predict = make_predict_step(run.model, preprocess=preprocess)
    collect_step = parallelize(make_collect_step(predict))
    batches = evaluation_of(run.config, config, split, other=other)
    found = collect(collect_step, state_of(run), batches)
    probabilities = _softmax(found.outputs.astype(np.float64))
    found = Predictions(probabilities, found.labels, found.positions)
    return found, batches.source


def parse_threshold(text: str) -> float | dict[str, Any]:
    """Returns the number, or what `choose_threshold` is to be called with.

    Raises:
        ValueError: if the text is neither.

    Example:
        >>> parse_threshold("0.5"), parse_threshold("validation:recall=0.95")
        (0.5, {'rule': 'recall', 'at_least': 0.95})
    """
    number = r"\d*\.?\d+(?:e-?\d+)?"
    if re.fullmatch(number, text) and 0 <= float(text) <= 1:
        return float(text)
    found = re.fullmatch(rf"{VALIDATION}(?::(\w+)(?:=({number}))?)?", text)
    rule = "youden" if found is None else found[1] or "youden"
    wish = None if found is None else found[2]
    if found is None or rule not in RULES or (rule in WISHES) != (wish is not None):
        ways = [f"validation:{rule}" for rule in RULES if rule not in WISHES]
        ways += [f"validation:{rule}=0.9" for rule in WISHES]
        raise ValueError(
            f"--threshold is a number from 0 to 1, or one of validation, "
            f"{', '.join(ways)}; got {text!r}."
        )
    return {"rule": rule, "at_least": None if wish is None else float(wish)}


def _chosen(found: Predictions, how: dict[str, Any]) -> Threshold:
    return choose_threshold(found.outputs[:, 1], found.labels, **how)


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities in float64, which keep scores apart that float32 ties."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
