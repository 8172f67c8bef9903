"""The command `jaxcnn diagnose`: what the learning curves of a run say."""

import dataclasses
import json
from typing import Annotated

import tyro

from jaxcnn.experiment.flags import parse_flags


@dataclasses.dataclass(frozen=True)
class _Diagnose:
    """Names what the learning curves show, the evidence, and what to do."""

    run: tyro.conf.Positional[str]
    """The run folder; the run may still go on."""
    metric: str | None = None
    """loss or accuracy; by default the loss."""
    json: bool = False
    """Print JSON: the case, the evidence, the advice and all numbers."""
    output: Annotated[str | None, tyro.conf.arg(aliases=["-o"])] = None
    """Draw the curves with the verdict into this file, such as curves.png."""


def command(args: list[str]) -> int:
    """Prints the verdict, draws it where asked to, and returns the exit code.

    Raises:
        ValueError: for a bad flag, a folder that is no run, or one without records.
        OSError: if the picture cannot be written.
    """
    from jaxcnn.experiment.diagnosis import diagnose_run

    flags = parse_flags(_Diagnose, args, prog="jaxcnn diagnose")
    found = diagnose_run(flags.run, metric=flags.metric)
    if flags.json:
        print(json.dumps({"metric": found.metric, **found.diagnosis.to_json()}))
    else:
        print(found.diagnosis)
    if flags.output is not None:
        from jaxcnn.plotting import diagnosed_curves

        diagnosed_curves(
            flags.output,
            (found.curves.train.at, found.curves.train.values),
            (found.curves.validation.at, found.curves.validation.values),
            **found.diagnosis.picture(),
            chance=found.chance,
            axis=found.curves.axis,
            metric="loss" if found.metric == "loss" else "error rate",
            title=found.title,
        )
    return 0
