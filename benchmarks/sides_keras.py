"""Keras on JAX: its own training loop's step, and the stateless step of its guide."""

from typing import Any

import numpy as np

from benchmarks.counted import forward_macs
from benchmarks.keras_models import make_keras_model
from benchmarks.rows import Row


class KerasSide:
    """One model, by `train_on_batch` (`fit`), `predict_on_batch` or `stateless`."""

    def __init__(self, name: str, row: Row, variant: str) -> None:
        import jax
        import keras

        if row.keras is None:
            raise ValueError(f"Keras has no {name}.")
        self.jax, self.keras, self.row, self.variant = jax, keras, row, variant
        self.model = make_keras_model(keras, name, row.keras, row.image)
        self.loss = keras.losses.MeanSquaredError()
        random = np.random.default_rng(0)
        self.images = random.random((row.batch, *row.image), np.float32)
        self.target = self.images
        if row.classes:
            self.loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            labels = random.integers(0, row.classes, row.batch)
            self.target = labels.astype(np.int32)
        self.images, self.target = jax.device_put((self.images, self.target))
        self.calls: dict[str, Any] = {}

    def facts(self) -> dict[str, int]:
        """Returns the trainable parameters and the multiply-adds of one image."""
        model = self.model
        variables = self._values(model.trainable_variables)
        state = self._values(model.non_trainable_variables)
        macs = forward_macs(model.stateless_call, variables, state, self.images[:1])
        return {"params": sum(x.size for x in variables), "macs": macs}

    def prepare(self, kind: str) -> None:
        """Makes the call of a kind; the first of them compiles."""
        make = {
            ("train", "fit"): self._fit,
            ("train", "stateless"): self._stateless_train,
            ("inference", "predict"): lambda: self._predict_on_batch,
            ("inference", "stateless"): self._stateless_predict,
        }
        self.calls[kind] = make[kind, self.variant]()

    def run(self, kind: str, count: int) -> None:
        """Makes `count` calls and waits for the last."""
        for _ in range(count):
            outputs = self.calls[kind]()
        self.jax.block_until_ready(outputs)

    def _optimizer(self) -> Any:
        return self.keras.optimizers.SGD(0.01, momentum=0.9)

    def _fit(self) -> Any:
        self.model.compile(self._optimizer(), self.loss, jit_compile=True)
        return lambda: self.model.train_on_batch(self.images, self.target)

    def _predict_on_batch(self) -> Any:
        return self.model.predict_on_batch(self.images)

    def _stateless_train(self) -> Any:
        model, optimizer, loss_of = self.model, self._optimizer(), self.loss
        optimizer.build(model.trainable_variables)

        def objective(variables, state, images, target):
            outputs, state = model.stateless_call(
                variables, state, images, training=True
            )
            return loss_of(target, outputs), state

        def step(train_state, images, target):
            variables, state, slots = train_state
            gradient = self.jax.value_and_grad(objective, has_aux=True)
            (loss, state), grads = gradient(variables, state, images, target)
            variables, slots = optimizer.stateless_apply(slots, grads, variables)
            return (variables, state, slots), loss

        step = self.jax.jit(step, donate_argnums=0)
        box = [
            self._values(variables)
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                optimizer.variables,
            )
        ]
        box = {"state": self.jax.tree.map(self.jax.numpy.copy, tuple(box))}

        def train():
            box["state"], loss = step(box["state"], self.images, self.target)
            return box["state"], loss

        return train

    def _stateless_predict(self) -> Any:
        model = self.model
        variables = self._values(model.trainable_variables)
        state = self._values(model.non_trainable_variables)

        @self.jax.jit
        def predict(variables, state, images):
            return model.stateless_call(variables, state, images, training=False)[0]

        return lambda: predict(variables, state, self.images)

    @staticmethod
    def _values(variables: Any) -> list[Any]:
        return [variable.value for variable in variables]
