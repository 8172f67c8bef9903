"""The command `jaxcnn evaluate`: how good a trained model is."""

import dataclasses
import json
from typing import Any

import tyro

from jaxcnn.experiment.flags import parse_flags, step_of
from jaxcnn.train.freed_memory import keep_freed_memory

_REPORT_FLAGS = ("threshold", "ordered", "bootstrap")


@dataclasses.dataclass(frozen=True)
class _Evaluate:
    """Measures a trained model on a split of its data, or on other data."""

    run: tyro.conf.Positional[str]
    """The run folder."""
    data: str | None = None
    """Other data of the same classes: a folder of images (CLASS/name.jpg), a table, a
    .npz file, or a name as in training. Writes the HTML report too."""
    split: str | None = None
    """Which part: test, validation, train[:10%], ...; test by default, and of files in
    no splits all of them."""
    step: str | None = None
    """best, latest or a step; by default best where the run chose one."""
    raw: bool = False
    """Use the weights themselves where the run averaged them (--ema)."""
    data_dir: str | None = None
    """Where the data are now, if not where they were."""
    tta: tuple[str, ...] = ()
    """Average over views: flip, "shifts(pixels=1)", "ten_crops(size=28)"."""
    report: bool = False
    """Print tables: every class, the whole with intervals, the confusion matrix."""
    html: str | None = None
    """Write a report with pictures into this file; without one RUN/report.html."""
    threshold: str | None = None
    """Report: probability from which class 1 of two is named: 0.5, validation, ..."""
    ordered: bool = False
    """Report: the classes are grades; adds the quadratic weighted kappa."""
    bootstrap: int | None = None
    """Report: resamples for the intervals, 1,000 by default; 0 for none."""
    json: bool = False
    """Print JSON."""


def command(args: list[str]) -> int:
    """Prints what was measured, writes the report, and returns the exit code.

    Raises:
        ValueError: for a bad flag, split or class.
        OSError: if the data are missing or the report cannot be written.
    """
    flags = parse_flags(_Evaluate, _with_file(args), prog="jaxcnn evaluate")
    keep_freed_memory()
    if flags.data is not None and flags.html is None:
        flags = dataclasses.replace(flags, html="")
    if flags.html is not None:
        return _html(flags)
    if flags.report:
        return _report(flags)
    for name in _REPORT_FLAGS:
        if getattr(flags, name) not in (None, False):
            raise ValueError(f"--{name} is for --report and --html.")
    return _measure(flags)


def _with_file(args: list[str]) -> list[str]:
    """Returns the arguments with an empty name behind a bare --html."""
    words = []
    for place, word in enumerate(args):
        words.append(word)
        follower = args[place + 1] if place + 1 < len(args) else "--"
        if word == "--html" and not follower.lower().endswith((".html", ".htm")):
            words.append("")
    return words


def _measure(flags: _Evaluate) -> int:
    from jaxcnn.experiment.measure import measure_run
    from jaxcnn.train.hooks.progress import format_metric

    split = flags.split or "test"
    step, metrics = measure_run(flags.run, split, **_options(flags))
    if flags.json:
        print(json.dumps({"split": split, "step": step, **metrics}))
    else:
        words = [f"{name} {format_metric(name, v)}" for name, v in metrics.items()]
        print(f"{split}, step {step:,}: {', '.join(words)}")
    return 0


def _options(flags: _Evaluate) -> dict[str, Any]:
    return {
        "step": step_of(flags.step),
        "raw": flags.raw,
        "data_dir": flags.data_dir,
        "views": flags.tta,
        "data": flags.data,
    }


def _report_options(flags: _Evaluate) -> dict[str, Any]:
    return {
        **_options(flags),
        "threshold": flags.threshold,
        "ordered": flags.ordered,
        "bootstrap": 1000 if flags.bootstrap is None else flags.bootstrap,
    }


def _report(flags: _Evaluate) -> int:
    from jaxcnn.experiment.report import report_run

    step, report = report_run(flags.run, flags.split, **_report_options(flags))
    _print(flags, flags.split or "test", step, report)
    return 0


def _html(flags: _Evaluate) -> int:
    from jaxcnn.experiment.html.report import write_html_report

    written = write_html_report(
        flags.run, flags.html or None, flags.split, **_report_options(flags)
    )
    report, overall = written.report, written.report.overall
    if flags.json or flags.report:
        _print(flags, written.split, written.step, report, html=str(written.path))
    else:
        figures = f"accuracy {100 * overall['accuracy']:.2f} %, AUROC "
        figures += f"{overall['auroc']:.3f}, {report.examples:,} examples"
        print(f"{written.split}, step {written.step:,}: {figures}")
    if not flags.json:
        print(f"The report is {written.path}")
    return 0


def _print(flags: _Evaluate, split: str, step: int, report: Any, **more: str) -> None:
    if flags.json:
        print(json.dumps({"split": split, "step": step, **more, **report.to_json()}))
        return
    threshold = "" if report.threshold is None else f", threshold {report.threshold:g}"
    print(f"{split}, step {step:,}, {report.examples:,} examples{threshold}\n")
    print(report.table())
