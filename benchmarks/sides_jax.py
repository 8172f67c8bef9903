"""The library's own train step and inference, and the same with Flax's plain layers."""

import contextlib

import numpy as np

from benchmarks.rows import Row


class JaxSide:
    """One model of ours, with the library's lowerings or, `plain`, without."""

    def __init__(self, name: str, row: Row, *, plain: bool = False) -> None:
        import jax

        import jaxcnn
        from benchmarks.plain import plain_layers
        from jaxcnn.optim import make_optimizer

        self.jax, self.row = jax, row
        self.layers = plain_layers if plain else contextlib.nullcontext
        self.model = jaxcnn.create_model(name, **row.options)
        random = np.random.default_rng(0)
        shape = (row.batch, *row.image)
        labels = random.integers(0, max(row.classes, 1), row.batch).astype(np.int32)
        self.batch = jax.device_put(
            {"image": random.random(shape, np.float32), "label": labels}
        )
        task = jaxcnn.classification() if row.classes else jaxcnn.reconstruction()
        tx = make_optimizer("momentum", 0.01)
        with self.layers():
            self.state = jaxcnn.init_state(
                self.model, tx, jax.random.key(0), self.batch["image"]
            )
        self.step = jax.jit(
            jaxcnn.make_train_step(self.model, tx, task), donate_argnums=0
        )
        self.predict = jax.jit(jaxcnn.make_predict_step(self.model))
        self.variables = jax.tree.map(jax.numpy.copy, self.state.variables)
        self.plain = plain

    def facts(self) -> dict[str, int]:
        """Returns the trainable parameters and the multiply-adds of one image.

        Those of plain Flax are counted in what is traced, so that a lowering that got
        past the switch shows.
        """
        import jaxcnn
        from benchmarks.counted import forward_macs

        summary = jaxcnn.summarize(self.model, (1, *self.row.image))
        params = sum(x.size for x in self.jax.tree.leaves(self.state.params))
        if not self.plain:
            return {"params": params, "macs": summary.macs}
        with self.layers():
            one = self.batch["image"][:1]
            macs = forward_macs(lambda v, x: self.predict(v, x), self.variables, one)
        return {"params": params, "macs": macs}

    def prepare(self, kind: str) -> None:
        """Does nothing: the first call compiles."""

    def run(self, kind: str, count: int) -> None:
        """Makes `count` calls without waiting between them, and waits for the last."""
        with self.layers():  # only the first call, which traces, looks
            if kind == "train":
                for _ in range(count):
                    self.state, _ = self.step(self.state, self.batch)
                self.jax.block_until_ready(self.state)
            else:
                for _ in range(count):
                    outputs = self.predict(self.variables, self.batch["image"])
                self.jax.block_until_ready(outputs)
