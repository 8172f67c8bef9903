"""One process of a run of several: trains a few steps and writes its parameters.

python -m tests.integration.worker ADDRESS PROCESSES INDEX DROPOUT OUT

With `sharded` for DROPOUT the state is sharded over two groups of four devices and
gathered to be written. With `run` it starts the small run of `training.py` in the
folder OUT, over a mesh of all devices.
"""

import os
import sys

import numpy as np


def main(address, processes, index, dropout, out):
    devices = 8 // processes
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")
    if processes > 1:
        jax.distributed.initialize(address, processes, index)
    if dropout == "run":
        train_run(out)
        return
    sharded = dropout == "sharded"
    state, metrics = train(0.0 if sharded else float(dropout), sharded=sharded)
    if index == 0:
        leaves = {str(k): np.asarray(x) for k, x in enumerate(jax.tree.leaves(state))}
        np.savez(out, **leaves, **{f"metric_{k}": v for k, v in metrics.items()})


def train_run(directory):
    """Trains in a run folder, or goes on with what is in it."""
    import dataclasses

    from jaxcnn.experiment import train
    from tests.integration.training import config

    train(dataclasses.replace(config(directory), parallel="mesh"))


def train(dropout, *, sharded=False):
    """Returns parameters and statistics after five steps, and metrics of all images."""
    import jax
    import optax
    from jax.sharding import NamedSharding, PartitionSpec

    import tests.train.nets as nets
    from jaxcnn.data import EvalData, Source, TrainData
    from jaxcnn.train import (
        classification,
        evaluate,
        fit,
        init_state,
        make_eval_step,
        make_mesh,
        make_train_step,
        parallelize,
    )
    from jaxcnn.train.parallel import replicate

    whole = nets.batch_of(0, 90)
    names = ("dark", "middle", "bright")
    source = Source("squares", whole["image"], whole["label"], names)
    model, tx = nets.ConvNet(dropout), optax.sgd(0.1, momentum=0.9)
    mesh = make_mesh({"data": 2, "fsdp": 4} if sharded else None)
    shard = 8 if sharded else None
    step = parallelize(make_train_step(model, tx, classification()), mesh, shard=shard)
    eval_step = parallelize(make_eval_step(model, classification()), mesh, shard=shard)
    state = init_state(
        model, tx, jax.random.key(0), nets.EXAMPLE, shardings=step.shardings
    )
    state = fit(state, step, TrainData(source, 32, seed=3), num_steps=5)
    metrics = evaluate(eval_step, state, EvalData(source, 32))
    result = (state.params, state.model_state, state.opt_state)
    if sharded:
        result = replicate(result, NamedSharding(mesh, PartitionSpec()))
    return result, metrics


if __name__ == "__main__":
    address, processes, index, dropout, out = sys.argv[1:]
    main(address, int(processes), int(index), dropout, out)
