"""A model with another head, perhaps behind an early submodule."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.errors import NameInUseError

from jaxcnn.layers.checks import check_number, check_numbers
from jaxcnn.ops import global_average_pool
from jaxcnn.tree import nearest
from jaxcnn.typing import Array

#: What stands before the path of a submodule whose input is wanted.
BEFORE = "before:"


class Head(nn.Module):
    """Dense layers `hidden1`, ... with ReLU, and `out`.

    Attributes:
        num_classes: Logits out.
        hidden: Units of each hidden layer.
        dropout: Share of the units in front of each dense layer dropped in training.
    """

    num_classes: int
    hidden: Sequence[int] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_number("num_classes", self.num_classes, 1)
        check_numbers("hidden", self.hidden, 1)
        check_number("dropout", self.dropout, 0, below=1, whole=False)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`, float32."""
        drop = nn.Dropout(self.dropout, deterministic=not train)
        for number, units in enumerate(self.hidden, 1):
            x = nn.relu(nn.Dense(units, name=f"hidden{number}")(drop(x)))
        return nn.Dense(self.num_classes, name="out")(drop(x))


class WithHead(nn.Module):
    """A model up to one of its submodules, and a new `head` behind it.

    The parameters of the model keep their names; those of what lies behind the cut are
    not created, and that is not computed. Make it with `with_head`.

    Attributes:
        body: The model.
        head: What gets the output of the body.
        cut_at: Path of the submodule whose output is taken, or `"before:PATH"` for its
            input; `""` is the body's own output.
        pool: Whether the output is averaged over its positions and made float32.
    """

    body: nn.Module
    head: nn.Module
    cut_at: str = ""
    pool: bool = True

    def setup(self) -> None:
        """Lets the body's submodules keep their paths."""
        nn.share_scope(self, self.body)

    def __call__(self, images: Array, *, train: bool = False) -> Array:
        """Returns logits `[batch, num_classes]`."""
        x = _output_at(self.body, self.cut_at, images, train=train)
        if self.pool:
            x = x.astype(jnp.float32)
            x = global_average_pool(x) if x.ndim > 2 else x
        takes_train = "train" in inspect.signature(type(self.head).__call__).parameters
        return self.head(x, train=train) if takes_train else self.head(x)


def with_head(
    model: nn.Module,
    num_classes: int,
    *,
    cut_at: str | None = None,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    head: nn.Module | None = None,
) -> WithHead:
    """Returns a model with a new head, behind its features or an early submodule.

    By default the head averages over all positions and has one dense layer. It is
    called `head`; the model's other submodules keep their names, so weights, freezing
    and learning rates go by the same paths.

    Args:
        model: A classifier of the library, or any Linen module.
        num_classes: Logits out.
        cut_at: Path of a submodule such as `"stage1_block3"`, see `feature_info`: the
            head stands behind it, and what follows in the model is neither created nor
            computed. `"before:PATH"`: in its place, so behind the activation and the
            pool that may be between two convolutions (not of a module that `nn.remat`
            or the like lifts). None: behind all, in place of the model's own head, for
            which it needs a field `num_classes` that may be 0.
        hidden: Units of hidden layers of the head.
        dropout: Share of the units in front of each dense layer dropped in training.
        head: A module of your own in place of all this; it gets the output as it is,
            without pooling, and `train` if its call takes it.

    Raises:
        ValueError: if the model has no features without a cut, a number is out of
            range, or there is a head and options for another.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> model = with_head(create_model("lenet"), 3, cut_at="conv1")
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        >>> sorted(variables["params"]), variables["params"]["head"]["kernel"].shape
        (['conv1', 'head'], (10, 3))
    """
    check_number("num_classes", num_classes, 1)
    if head is not None and (hidden or dropout):
        raise ValueError("hidden and dropout are for the usual head: not with head=.")
    own = head is not None
    if head is None and (hidden or dropout):
        head = Head(num_classes, tuple(hidden), dropout)
    elif head is None:
        head = nn.Dense(num_classes)
    if cut_at is None:
        if not hasattr(model, "num_classes"):
            raise ValueError(
                f"{type(model).__name__} has no field num_classes that could be 0: "
                "give the submodule behind which the head is to stand, cut_at=."
            )
        model = model.clone(num_classes=0)
    return WithHead(model, head, cut_at or "", pool=not own)


class _Reached(Exception):
    """Ends the call of a model where the output that is wanted is there."""

    def __init__(self, output: Any) -> None:
        self.output = output


def _output_at(body: nn.Module, path: str, images: Array, *, train: bool) -> Any:
    """Returns what is at a cut; what would follow it is not called."""
    if not path:
        return body(images, train=train)
    wanted = path.removeprefix(BEFORE)
    start, called = len(body.path), {}

    def stop(
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        if context.method_name != "__call__" or context.module.scope is None:
            return call(*args, **kwargs)
        name = "/".join(context.module.path[start:])
        called[name] = None
        if name != wanted:
            return call(*args, **kwargs)
        if context.module.scope.root is not body.scope.root:
            raise ValueError(
                f"cut_at={path!r} lies in a module that nn.remat, nn.scan or the like "
                "lifts, whose call cannot end early: cut at another submodule."
            )
        raise _Reached(args[0] if path != wanted else call(*args, **kwargs))

    try:
        with nn.intercept_methods(stop):
            body(images, train=train)
    except _Reached as reached:
        return reached.output
    except NameInUseError:
        pass  # the body came to its own head: the path is not in front of it
    raise ValueError(
        f"cut_at={path!r}: {type(body).__name__} calls no such submodule before its "
        "head."
        f"{nearest(wanted, called)}"
    )
