"""Dense layers alone: the baseline that a CNN has to beat."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxcnn.layers.activation import (
    Activation,
    apply_activation,
    check_activation,
)
from jaxcnn.layers.checks import check_images, check_number, check_numbers
from jaxcnn.layers.initializers import Initializer, make_initializer
from jaxcnn.registry import register_model
from jaxcnn.typing import Array, Dtype


class Mlp(nn.Module):
    """The image as one vector through `hidden1`, `hidden2`, ... and `head`.

    Attributes:
        hidden: Units of each hidden layer; none makes a linear classifier.
        dropout: Share of each hidden layer's units dropped in training.
        activation: What `jaxcnn.layers.apply_activation` takes, such as `"relu"`; a
            module, such as PReLU, is named `hidden1_act`, ...
        kernel_init: A name of `jaxcnn.layers.INITIALIZERS`, or an initialiser.
        num_classes: Logits out; 0 returns the features that the head would get.
        dtype: Computation type; parameters and logits stay float32.
    """

    hidden: Sequence[int] = (512, 512)
    dropout: float = 0.2
    activation: str | Activation = "relu"
    kernel_init: str | Initializer = "lecun_normal"
    num_classes: int = 10
    dtype: Dtype | None = None

    def __post_init__(self) -> None:
        check_numbers("hidden", self.hidden, 1)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        check_number("num_classes", self.num_classes, 0)
        check_activation(self.activation)
        make_initializer(self.kernel_init)
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        check_images(images, "Mlp")
        kernel_init = make_initializer(self.kernel_init)
        x = images.reshape(images.shape[0], -1)
        for number, units in enumerate(self.hidden, 1):
            dense = nn.Dense(
                units, kernel_init=kernel_init, dtype=self.dtype, name=f"hidden{number}"
            )
            x = apply_activation(
                self.activation, dense(x), train=train, name=f"hidden{number}_act"
            )
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = x.astype(jnp.float32)
        if not self.num_classes:
            return x
        return nn.Dense(self.num_classes, kernel_init=kernel_init, name="head")(x)


@register_model
def mlp(**kwargs: Any) -> Mlp:
    """Two hidden layers of 512 units with dropout 0.2; see `Mlp`.

    669,706 parameters and 0.669 MMACs at 28x28x1. Kernels start as LeCun normal, Flax's
    default, biases as zeros.

    References:
        Srivastava et al., "Dropout", JMLR 15, 2014,
        https://jmlr.org/papers/v15/srivastava14a.html.
    """
    return Mlp(**kwargs)
