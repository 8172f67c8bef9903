"""Seconds to save and to restore a training state: Checkpoints and torch.save.

    python -m benchmarks checkpoints --model resnet50

Parameters and momenta of the same shapes on both sides. "save" is until the file is
complete; `Checkpoints` would let training go on before. It writes checksums and
verifies them when it restores; torch.save does not.
"""

import argparse
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import environment, write_results
from benchmarks.rounds import interleave, spread


def training_state(name: str, image: tuple[int, ...]) -> Any:
    """Returns zeros in the shapes of a model's state with momenta."""
    import jax
    import jax.numpy as jnp

    import jaxcnn
    from jaxcnn.optim import make_optimizer

    model, tx = jaxcnn.create_model(name), make_optimizer("momentum", 0.01)
    images = jnp.zeros((1, *image))
    shapes = jax.eval_shape(
        lambda: jaxcnn.init_state(model, tx, jax.random.key(0), images)
    )
    return {
        "params": jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes.params),
        "momenta": jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), shapes.params),
    }


def our_calls(state: Any, folder: Path) -> dict[str, Callable]:
    """Returns saving and restoring by `Checkpoints`."""
    import jax

    import jaxcnn

    steps = iter(range(10**9))
    checkpoints = jaxcnn.Checkpoints(folder / "ours", keep=1, keep_best=0)

    def save():
        checkpoints.save(next(steps), state)
        checkpoints.wait()

    return {
        "save": save,
        "restore": lambda: jax.block_until_ready(checkpoints.restore(state).state),
    }


def torch_calls(state: Any, folder: Path) -> dict[str, Callable]:
    """Returns `torch.save` and `torch.load` of the same arrays."""
    import jax
    import numpy as np
    import torch

    tensors = jax.tree.map(lambda x: torch.from_numpy(np.array(x)), state)
    path = folder / "theirs.pt"
    return {
        "save": lambda: torch.save(tensors, path),
        "restore": lambda: torch.load(path, weights_only=True),
    }


def measure(name: str, image: tuple[int, ...], rounds: int) -> list[dict]:
    """Returns a row for each side and direction."""
    state = training_state(name, image)
    folder = Path(tempfile.mkdtemp())
    try:
        sides = {"jaxcnn": our_calls(state, folder)}
        if importlib.util.find_spec("torch"):
            sides["torch"] = torch_calls(state, folder)
        calls = {
            (s, way): call for s, made in sides.items() for way, call in made.items()
        }
        found = interleave(calls, rounds)
    finally:
        shutil.rmtree(folder)
    return [
        {"model": name, "side": side, "call": way, **spread(values)}
        for (side, way), values in found.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints and writes the times."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks checkpoints", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="2 or more")
    parser.add_argument("--model", default="resnet50")
    chosen = parser.parse_args(arguments)
    about = {**environment(), "rounds": max(chosen.rounds, 2)}
    rows = measure(chosen.model, (224, 224, 3), about["rounds"])
    for row in rows:
        low, high = row["quartiles"]
        print(
            f"{row['side']:<7} {row['call']:<8} {row['median']:>7.3f} s"
            f"  {low:.3f} to {high:.3f}"
        )
    write_results("checkpoints", about, rows)


if __name__ == "__main__":
    main()
