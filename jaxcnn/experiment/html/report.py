"""The report of a run's classifier as one web page, with its pictures inside."""

import dataclasses
import datetime
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from jaxcnn.data import LazySource, Source
from jaxcnn.data.files import written_whole
from jaxcnn.experiment.config import ExperimentConfig
from jaxcnn.experiment.html import page
from jaxcnn.experiment.html.examples import (
    Shown,
    gallery,
    least_certain,
    most_wrong,
    name_of,
)
from jaxcnn.experiment.html.sections import (
    calibration_section,
    class_section,
    confusion_section,
    headline,
    ranking_section,
    threshold_section,
    warnings_of,
)
from jaxcnn.experiment.measure import opened_run
from jaxcnn.experiment.other_data import of_files
from jaxcnn.experiment.report import VALIDATION, predicted, threshold_of
from jaxcnn.metrics import ClassificationReport, classification_report
from jaxcnn.metrics.report import predicted_classes
from jaxcnn.run import METRICS, Run
from jaxcnn.train import Predictions, read_metrics

#: The page's name in the run folder.
FILE = "report.html"
_EXAMPLES = 12
_PARTS = ("jaxcnn", "jax", "flax", "numpy")


@dataclasses.dataclass(frozen=True)
class HtmlReport:
    """What `write_html_report` wrote.

    Attributes:
        path: The page.
        split: What was measured, `"all"` of data that are in no splits.
        step: The checkpoint's.
        report: Its numbers.
    """

    path: epath.Path
    split: str
    step: int
    report: ClassificationReport


@dataclasses.dataclass(frozen=True)
class _Measured:
    """All that the page is made of."""

    directory: str
    run: Run
    config: ExperimentConfig
    split: str
    source: Source | LazySource
    found: Predictions
    report: ClassificationReport
    validation: Predictions | None
    options: dict[str, Any]


def write_html_report(
    directory: epath.PathLike,
    path: epath.PathLike | None = None,
    split: str | None = None,
    *,
    data: str | None = None,
    step: str | int | None = None,
    raw: bool = False,
    data_dir: str | None = None,
    views: Any = (),
    threshold: str | None = None,
    ordered: bool = False,
    bootstrap: int = 1000,
) -> HtmlReport:
    """Writes all that is worth knowing of a classifier as one self-contained page.

    It holds the metrics with their intervals, learning curves, the confusion matrix,
    every class, calibration, for two classes ROC, precision-recall and thresholds, and
    the most wrong and the least certain images, with the names of their files.

    Args:
        directory: The run folder.
        path: The page; `report.html` in the run folder by default.
        split: As for `report_run`.
        data: As for `report_run`.
        step: As for `load_run`.
        raw: As for `load_run`.
        data_dir: As for `report_run`.
        views: As for `report_run`.
        threshold: As for `report_run`.
        ordered: As for `report_run`.
        bootstrap: As for `report_run`.

    Raises:
        ValueError: as `report_run` does.
        OSError: if the data are missing or the page cannot be written.
    """
    path = epath.Path(directory) / FILE if path is None else epath.Path(path)
    options = {"step": step, "raw": raw, "data_dir": data_dir}
    chosen = None
    if threshold is not None:
        own = split if data is None else None
        chosen = threshold_of(directory, threshold, own, views=views, **options)
    run, config = opened_run(directory, data=data, **options)
    if of_files(config.data):  # the same pixels, and the names of their files are kept
        lazy = dataclasses.replace(config.data, decode="lazy")
        config = dataclasses.replace(config, data=lazy)
    other = data is not None
    found, source = predicted(run, config, split, views=views, other=other)
    report = classification_report(
        found.outputs,
        found.labels,
        run.class_names,
        threshold=chosen,
        ordered=ordered,
        bootstrap=bootstrap,
    )
    whole = other and split is None and source.split == "train"
    measured = _Measured(
        directory=os.fspath(directory),
        run=run,
        config=config,
        split="all" if whole else source.split,
        source=source,
        found=found,
        report=report,
        validation=None,
        options={"views": views, "threshold": threshold, "other": other},
    )
    if len(run.class_names) == 2:
        held_out = _validation(measured, split, options)
        measured = dataclasses.replace(measured, validation=held_out)
    with written_whole(path) as file:
        file.write(_page(measured))
    return HtmlReport(path, measured.split, run.step, report)


def _validation(
    measured: _Measured, split: str | None, options: dict[str, Any]
) -> Predictions | None:
    """Returns the predictions for the run's validation part, if that is another one."""
    other = measured.options["other"]
    if split is not None and split.startswith(VALIDATION) and not other:
        return None
    config = ExperimentConfig.from_json(measured.run.config.experiment)
    if not config.data.held_out:
        return None
    if not other:
        config = measured.config
    try:
        views = measured.options["views"]
        found, _ = predicted(measured.run, config, VALIDATION, views=views)
    except (OSError, ValueError):
        # The data of the training need not be where the model is used.
        return None
    return found if len(np.unique(found.labels)) == 2 else None


def _page(m: _Measured) -> str:
    title = f"{m.run.config.model} on {m.source.name}, {m.split}"
    body = [
        f"<h1>{page.text(title)}</h1>",
        page.facts(_facts(m)),
        headline(m.report),
        page.heading("To beware of"),
        page.warnings(
            warnings_of(
                m.report,
                split=m.split,
                data_name=m.source.name,
                broken=_broken(m),
                chosen=not m.options["other"] and m.split.startswith(VALIDATION),
                trained=not m.options["other"] and m.split.startswith("train"),
            )
        ),
        *_curves(m),
        *class_section(m.report),
        *confusion_section(m.report, _drawn),
        *calibration_section(m.report, _drawn),
    ]
    if len(m.report.class_names) == 2:
        body += ranking_section(m.report, m.found, _drawn)
        body += threshold_section(m.report, m.found, m.validation)
    return page.page(title, [*body, *_examples(m)])


def _facts(m: _Measured) -> dict[str, str]:
    classes = f"{len(m.report.class_names):,}"
    now = datetime.datetime.now(datetime.UTC)
    facts = {
        "Run": m.directory,
        "Model": m.run.config.model,
        "Checkpoint": f"step {m.run.step:,}",
        "Data": m.source.name,
        "Part": f"{m.split}, {m.report.examples:,} examples, {classes} classes",
        "Trained on": str(m.run.config.data.get("name", "unknown")),
        "Images": " x ".join(map(str, m.run.config.image_shape)),
    }
    if m.options["views"]:
        views = m.options["views"]
        words = views if isinstance(views, str) else ", ".join(map(str, views))
        facts["Averaged over views"] = words
    if m.report.threshold is not None:
        how = m.options["threshold"]
        facts["Threshold"] = f"{m.report.threshold:.4g} ({how})"
    facts["Made"] = now.strftime("%Y-%m-%d %H:%M UTC")
    facts["Versions"] = _versions()
    return facts


def _versions() -> str:
    import importlib

    found = [f"{n} {importlib.import_module(n).__version__}" for n in _PARTS]
    return ", ".join([*found, f"Python {platform.python_version()}"])


def _broken(m: _Measured) -> dict[str, str]:
    return getattr(m.source, "broken", {})


def _curves(m: _Measured) -> list[str]:
    """Returns the learning curves, if the run has left records."""
    from jaxcnn.plotting import learning_curves

    records = read_metrics(epath.Path(m.directory) / METRICS)
    # What is no measure of the model: see `Curves`.
    hidden = ("time", "seconds", "learning_rate")
    records = [
        {name: value for name, value in record.items() if name not in hidden}
        for record in records
        if record["split"] in ("train", "validation", "test")
    ]
    if not records:
        return []
    picture = _drawn(
        lambda path: learning_curves(path, records),
        f"Learning curves over {max(r['step'] for r in records):,} steps",
    )
    return [page.heading("Learning curves"), page.figure(picture, "")]


def _examples(m: _Measured) -> list[str]:
    probabilities, labels = m.found.outputs, m.found.labels
    called = predicted_classes(probabilities, m.report.threshold)
    wrong = most_wrong(probabilities, labels, called, _EXAMPLES)
    close = least_certain(probabilities, m.report.threshold, _EXAMPLES)
    count = int((called != labels).sum())
    body = [page.heading("The most wrong")]
    if len(wrong):
        words = f"Of {count:,} wrong ones those whose true class got the least "
        words += "probability. Look for wrong labels, and for what they share."
        body += [page.paragraph(words, note=True), _shown(m, wrong, called)]
    else:
        body.append(page.paragraph("None is wrong."))
    words = "The closest decisions, right or wrong: what more training images like "
    words += "these might help."
    body.append(page.heading("The least certain"))
    return [*body, page.paragraph(words, note=True), _shown(m, close, called)]


def _shown(m: _Measured, rows: np.ndarray, called: np.ndarray) -> str:
    names, positions = m.report.class_names, m.found.positions[rows]
    shown = [
        Shown(
            name=name_of(m.source, int(position)),
            true=names[m.found.labels[row]],
            predicted=names[called[row]],
            probability=float(m.found.outputs[row, called[row]]),
            of_true=float(m.found.outputs[row, m.found.labels[row]]),
        )
        for row, position in zip(rows, positions, strict=True)
    ]
    return gallery(m.source, positions, shown)


def _drawn(draw: Callable[[Path], None], alt: str) -> str:
    """Returns what a function of `plotting` writes, as a part of the page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(path)
        return page.image(path.read_bytes(), alt, plot=True)
