"""One process of a run of several: trains a few steps and writes its parameters.

python -m tests.integration.worker ADDRESS PROCESSES INDEX DROPOUT OUT

With `sharded` for DROPOUT the state is sharded over two groups of four devices and
gathered to be written. With `run` it starts the small run of `training.py` in the
folder OUT, over a mesh of all devices. With `parts` it saves arrays in parts on all
devices to the folder OUT, or compares those that are there.
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
    if dropout == "parts":
        save_or_compare(out)
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


def numbers():
    """Returns arrays whose sizes eight devices share, evenly or not at all."""
    rng = np.random.default_rng(0)
    return {
        "kernel": rng.normal(size=(3, 3, 4, 16)).astype(np.float32),
        "moment": rng.normal(size=(16, 5)).astype(np.float32),
        "bias": rng.normal(size=3).astype(np.float32),
        "step": np.int32(7).reshape(()),
    }


def in_parts(arrays, mesh):
    """Returns the arrays on a mesh, an axis of 16 in parts, the rest on each device."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    axis = mesh.axis_names[0]

    def put(x):
        spec = PartitionSpec(*(axis if size == 16 else None for size in x.shape))
        return jax.make_array_from_callback(
            x.shape, NamedSharding(mesh, spec), lambda index: x[index]
        )

    return {name: put(x) for name, x in arrays.items()}


def save_or_compare(folder):
    """Saves the numbers, or reads those saved in the same parts and compares."""
    import jax

    from jaxcnn.checkpoint import Checkpoints
    from jaxcnn.train import make_mesh

    state = in_parts(numbers(), make_mesh())
    with Checkpoints(folder) as checkpoints:
        if not checkpoints.steps:
            checkpoints.save(1, state)
            return
        restored = checkpoints.restore(jax.tree.map(lambda x: 0 * x, state)).state
    for name, saved in state.items():
        assert restored[name].sharding.is_equivalent_to(saved.sharding, saved.ndim)
        for a, b in zip(
            saved.addressable_shards, restored[name].addressable_shards, strict=True
        ):
            np.testing.assert_array_equal(a.data, b.data)


def train(dropout, *, sharded=False):
    """Returns parameters and statistics after five steps, and metrics of all images."""
    import jax
    import optax
    from jax.sharding import NamedSharding, PartitionSpec

    import tests.train.nets as nets
    from jaxcnn.data import EvalData, Source, TrainData
    from jaxcnn.train import (
        classification,
        collect,
        evaluate,
        fit,
        init_state,
        make_collect_step,
        make_eval_step,
        make_mesh,
        make_predict_step,
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
    collect_step = make_collect_step(make_predict_step(model))
    collect_step = parallelize(collect_step, mesh, shard=shard)
    found = collect(collect_step, state, EvalData(source, 32))
    np.testing.assert_array_equal(found.labels, whole["label"])
    metrics["collected"] = found.outputs
    result = (state.params, state.model_state, state.opt_state)
    if sharded:
        result = replicate(result, NamedSharding(mesh, PartitionSpec()))
    return result, metrics


if __name__ == "__main__":
    address, processes, index, dropout, out = sys.argv[1:]
    main(address, int(processes), int(index), dropout, out)
