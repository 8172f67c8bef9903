"""The run that is broken: what it is, one life of it, and all that it leaves."""

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import traceback
from pathlib import Path

import jax
import numpy as np
from etils import epath

from jaxcnn.checkpoint import Checkpoints
from jaxcnn.checkpoint.folder import StepFolders
from jaxcnn.data import load_source
from jaxcnn.experiment import training
from jaxcnn.experiment.main import exit_cleanly, run
from jaxcnn.train import read_metrics
from jaxcnn.tree import flatten_named
from tests.integration import training as integration

#: Steps of a run, where nothing else is said.
STEPS = 30
#: Values of records that no two runs share.
_TIMES = ("time", "seconds")
_plain_build = training.build
_built = {}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a life ended: the exit code of the program, and what it printed."""

    code: int | str
    said: str

    @property
    def error(self):
        """The one line of an error, or None if it ended in another way."""
        lines = self.said.strip().splitlines()
        clear = self.code == 2 and lines and lines[-1].startswith("jaxcnn: ")
        return lines[-1] if clear and "Traceback" not in self.said else None


def config(folder, steps=STEPS):
    """Returns the configuration: a CNN that starts fast, with all there is to resume.

    Dropout, batch norm, augmentation, a schedule, early stopping's counters, windows of
    the training log that saves cut.
    """
    plain = integration.config(folder, steps)
    model = dataclasses.replace(plain.model, args=plain.model.args | {"features": [4]})
    data = dataclasses.replace(plain.data, eval_batch_size=8)
    return dataclasses.replace(plain, model=model, data=data, patience=10_000)


def prepare():
    """Imports what every life would, and leaves out what is slow and idle: pictures."""
    from orbax.checkpoint import v1  # noqa: F401

    from jaxcnn import plotting

    build_sources(config(""))
    for name in ("jaxcnn", "absl", "asyncio"):  # of what is damaged on purpose
        logging.getLogger(name).setLevel(logging.CRITICAL)
    training.draw_results = lambda *args: None
    plotting.learning_curves = lambda *args, **options: None


def live(folder, steps=STEPS, **changes):
    """Starts the run, or goes on with it, in this process, and returns its end."""
    said = io.StringIO()
    settings = dataclasses.replace(config(folder, steps), **changes)
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            exit_cleanly(lambda: run(settings))
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc(file=said)
            code = "traceback"
    return Ended(code, said.getvalue())


def build_sources(settings):
    """Reads the data once, for the modules that this imports."""
    load_source(settings.data.name, settings.data.split)


def build_once():
    """Lets all later lives in this process share the compiled steps."""
    training.build = _build


def _build(settings):
    values = settings.to_json()
    key = json.dumps({k: v for k, v in values.items() if k != "run"})
    if key not in _built:
        _built[key] = _plain_build(settings)
    experiment = _built[key]
    run_config = dataclasses.replace(experiment.run_config, experiment=values)
    return dataclasses.replace(experiment, config=settings, run_config=run_config)


def digest(step, state, info, metrics):
    """Returns a checksum of everything that a checkpoint holds."""
    total = hashlib.sha256(json.dumps([step, info, metrics], sort_keys=True).encode())
    for name, leaf in _arrays(state).items():
        total.update(name.encode() + leaf)
    return total.hexdigest()


def contents(folder):
    """Returns by name what a run must end with: arrays, values, records, results."""
    with Checkpoints(Path(folder) / "checkpoints", best="accuracy") as checkpoints:
        restored = checkpoints.restore(step="latest")
        best = checkpoints.best_step
    found = {f"state/{name}": leaf for name, leaf in _arrays(restored.state).items()}
    found |= {"step": restored.step, "info": json.dumps(restored.info), "best": best}
    found["metrics"] = json.dumps(restored.metrics)
    results = Path(folder) / "results.json"
    if results.exists():
        values = json.loads(results.read_text())
        found["results"] = json.dumps([values["step"], values["metrics"]])
    return found | {"records": records(folder)}


def differences(found, wanted):
    """Returns the names of what differs between two `contents`."""
    names = found.keys() | wanted.keys()
    return sorted(name for name in names if found.get(name) != wanted.get(name))


def records(folder):
    """Returns the records of a run without the times."""
    return [
        {k: v for k, v in record.items() if k not in _TIMES}
        for record in read_metrics(Path(folder) / "metrics")
    ]


def look(folder):
    """Returns the good steps of a run and the damage of others, without JAX."""
    folders = StepFolders(epath.Path(folder) / "checkpoints")
    return sorted(folders.good()), folders.damaged()


def _arrays(state):
    leaves = {}
    for name, leaf in flatten_named(state).items():
        if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        ):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        leaves[name] = f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return dict(sorted(leaves.items()))
