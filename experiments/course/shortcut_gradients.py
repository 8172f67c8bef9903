"""Claim: an identity shortcut carries the gradient to the first block at any depth.

    python experiments/course/shortcut_gradients.py

He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, sections 2, 3.1
(a shortcut times 0.5 shrinks the signal by 0.5 a block) and 4.1 (pre-activation),
https://arxiv.org/abs/1603.05027. Measured before training, without data but for noise:
the norm of the loss's gradient at the first of 2 to 64 blocks of two convolutions each,
8 channels on 8x8 pixels, plain, with shortcuts times 0.5, post- and pre-activation.

Came out: it shows, with the other sign. With batch normalisation the gradient does not
vanish but explodes with depth, in plain blocks and with shortcuts times 0.5; with
identity shortcuts it grows 5 to 6 times from 2 to 64 blocks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from common import Settings, finish, lines, main, markdown, panels
from flax import linen as nn

from jaxcnn.losses import softmax_cross_entropy
from jaxcnn.models.resnet import BasicBlock
from jaxcnn.models.resnet_v2 import PreActBasicBlock

DEPTHS, FEATURES, IMAGES, SIDE = (2, 4, 8, 16, 32, 64), 8, 32, 8
_OPTIONS = {"features": FEATURES, "zero_init": False}
BLOCKS = {
    "plain": BasicBlock(shortcut="none", **_OPTIONS),
    "shortcut x 0.5": BasicBlock(shortcut="identity", shortcut_scale=0.5, **_OPTIONS),
    "post-activation": BasicBlock(shortcut="identity", **_OPTIONS),
    "pre-activation": PreActBasicBlock(shortcut="identity", **_OPTIONS),
}


def first_gradient(block: nn.Module, depth: int) -> Callable[[jax.Array, Any], Any]:
    """Returns `norm(key, blocks)`: the gradient's norm at the first of `blocks`.

    `depth` is the most: those behind `blocks` pass on what they get, so that one
    program serves all depths. The loop runs on one core of a CPU, but compiles once.
    """

    def loss(params: Any, stats: Any, x: Any, head: Any, y: Any, blocks: Any) -> Any:
        def body(x: jax.Array, layer: Any) -> Any:
            k, params, stats = layer
            variables = {"params": params, "batch_stats": stats}
            out, _ = block.apply(variables, x, train=True, mutable=["batch_stats"])
            return jnp.where(k < blocks, out, x), None

        x, _ = jax.lax.scan(body, x, (jnp.arange(depth), params, stats))
        # As behind the sum of pre-activation blocks: a norm over the batch, and ReLU.
        x = (x - x.mean((0, 1, 2), keepdims=True)) / x.std((0, 1, 2), keepdims=True)
        return softmax_cross_entropy(nn.relu(x).mean((1, 2)) @ head, y).mean()

    @jax.jit
    def norm(key: jax.Array, blocks: Any) -> jax.Array:
        keys = jax.random.split(key, depth + 3)
        x = nn.relu(jax.random.normal(keys[0], (IMAGES, SIDE, SIDE, FEATURES)))
        head = jax.random.normal(keys[1], (FEATURES, 10)) / FEATURES**0.5
        y = jax.random.randint(keys[2], (IMAGES,), 0, 10)
        first = jax.vmap(lambda key: block.init(key, x[:1], train=True))(keys[3:])
        grads = jax.grad(loss)(
            first["params"], first["batch_stats"], x, head, y, blocks
        )
        squares = [jnp.sum(leaf[0] ** 2) for leaf in jax.tree.leaves(grads)]
        return jnp.sqrt(sum(squares))

    return norm


def run(settings: Settings) -> dict[str, Any]:
    """Measures all kinds at all depths."""
    depths = DEPTHS[:2] if settings.fast else DEPTHS
    results: dict[str, Any] = {"depths": depths, "norms": {}}
    for name, block in BLOCKS.items():
        norm = first_gradient(block, depths[-1])
        results["norms"][name] = [
            [float(norm(jax.random.key(seed), blocks)) for blocks in depths]
            for seed in settings.numbers
        ]
        print(name, np.mean(results["norms"][name], axis=0), flush=True)
    return results


def draw(results: dict[str, Any], path: Path) -> None:
    """Writes the norm over the depth."""
    figure, (axes,) = panels(1)
    for place, (name, norms) in enumerate(results["norms"].items()):
        lines(axes, results["depths"], norms, name, place, marker="o", ms=3.5)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="blocks", xticks=results["depths"])
    axes.set(ylabel="gradient at the first block", xticklabels=results["depths"])
    axes.legend(frameon=False, fontsize=8)
    finish(figure, path)


def table(results: dict[str, Any]) -> str:
    """Returns the norm at every depth, the mean over the seeds."""
    rows = [
        [name, *(f"{value:.2g}" for value in np.mean(norms, axis=0))]
        for name, norms in results["norms"].items()
    ]
    return markdown(["blocks", *map(str, results["depths"])], rows)


if __name__ == "__main__":
    main(__doc__, __file__, run, draw, table)
