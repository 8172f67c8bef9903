"""The parameters of a model by depth: through a submodule, of each stage, the head."""

import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.interpreters import partial_eval

from jaxcnn.models.cut import WithHead
from jaxcnn.models.features import capture, endpoint_paths, has_endpoints
from jaxcnn.tree import flatten_named, nearest
from jaxcnn.typing import Array, PyTree

_THROUGH = "through:"


@dataclasses.dataclass(frozen=True)
class Depth:
    """The parameters of a model by depth; each is found once, without any array.

    Attributes:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.
    """

    model: nn.Module
    image_shape: tuple[int, ...]

    @functools.cached_property
    def names(self) -> list[str]:
        """The names of all parameters, such as `"stem/conv/kernel"`."""
        return list(flatten_named(self._variables["params"]))

    @functools.cached_property
    def head(self) -> list[str]:
        """The parameters that depend on the number of classes.

        Raises:
            ValueError: if the model has no field `num_classes` and no part `head`.
        """
        classes = getattr(self.model, "num_classes", None)
        if isinstance(classes, int) and classes:
            model = self.model.clone(num_classes=classes + 1)
            ours = flatten_named(self._variables["params"])
            theirs = flatten_named(Depth(model, self.image_shape)._variables["params"])
            return [n for n in self.names if ours[n].shape != theirs[n].shape]
        found = [name for name in self.names if name.startswith("head/")]
        if not found:
            raise ValueError(
                f"{type(self.model).__name__} has neither a field num_classes nor a "
                "part 'head': say what is frozen by a regular expression or "
                "'through:PATH'."
            )
        return found

    @functools.cached_property
    def paths(self) -> list[str]:
        """The endpoints, or the outermost submodules in the order of their calls.

        Those behind a cut are left out.
        """
        body = self.model.body if isinstance(self.model, WithHead) else self.model
        if has_endpoints(body):
            return [path for path in endpoint_paths(body) if path in self.called]
        owners = {name.split("/")[0] for name in self.names}
        return [path for path in self.called if path in owners]

    @functools.cached_property
    def stages(self) -> list[list[str]]:
        """The parameters of each stage, from the stem to the head; see `stages`."""
        rest = dict.fromkeys(self.names)
        found = []
        for path in self.paths:
            part = [name for name in self.through(path) if name in rest]
            if part:
                found.append(part)
            for name in part:
                del rest[name]
        return [*found, list(rest)] if rest else found

    def through(self, path: str) -> list[str]:
        """Returns the parameters that the output of a submodule depends on.

        Raises:
            ValueError: if the model calls no such submodule; the nearest is named.
        """
        if path in self._needed:
            return self._needed[path]
        if path not in self.called:
            near = nearest(path, self.called)
            raise ValueError(
                f"{type(self.model).__name__} calls no submodule {path!r}.{near}"
            )
        return self._dependencies([path])[path]

    def frozen(self, freeze: str) -> str | None:
        """Returns what `freeze_pattern` does."""
        if freeze == "none":
            return None
        if freeze == "all":
            return self.pattern([name for name in self.names if name not in self.head])
        if freeze.startswith(_THROUGH):
            return self.pattern(self.through(freeze.removeprefix(_THROUGH)))
        try:
            pattern = re.compile(freeze)
        except re.error as error:
            raise ValueError(
                f"freeze={freeze!r} is no regular expression: {error}."
            ) from None
        if not any(map(pattern.search, self.names)):
            parts = {part for name in self.names for part in name.split("/")}
            words = ["all", "none", *(_THROUGH + path for path in self.paths), *parts]
            raise ValueError(
                f"freeze={freeze!r} is none of 'all', 'none', 'through:PATH', and "
                f"matches no parameter.{nearest(freeze, words)}"
            )
        return freeze

    def rates(self, decay: float) -> list[tuple[str, float]]:
        """Returns what `rates_by_depth` does."""
        if not 0 < decay <= 1:
            raise ValueError(f"decay must be in (0, 1], got {decay}.")
        last = len(self.stages) - 1
        return [
            (self.pattern(part), decay ** (last - k))
            for k, part in enumerate(self.stages)
            if k < last and decay < 1
        ]

    def pattern(self, names: Iterable[str]) -> str:
        """Returns a regular expression that matches those parameters alone."""
        return pattern_of(names, self.names)

    @functools.cached_property
    def _needed(self) -> dict[str, list[str]]:
        return self._dependencies(self.paths)

    def _dependencies(self, paths: Sequence[str]) -> dict[str, list[str]]:
        """Returns the parameters that the output of each submodule depends on."""

        def outputs(variables: PyTree, images: Array) -> list[Any]:
            found = capture(self.model, variables, images, inner)
            return [found[path] for path in inner]

        # The call ends inside of the submodule at the cut: nobody captures its output.
        cut = self.model.cut_at if isinstance(self.model, WithHead) else None
        inner = [path for path in paths if path != cut]
        needed = {path: [n for n in self.names if n[:5] != "head/"] for path in paths}
        shapes = jax.eval_shape(outputs, self._variables, self._images)
        jaxpr = jax.make_jaxpr(outputs)(self._variables, self._images).jaxpr
        names, start = list(flatten_named(self._variables)), 0
        for path, shape in zip(inner, shapes, strict=True):
            end = start + len(jax.tree.leaves(shape))
            wanted = [start <= k < end for k in range(len(jaxpr.outvars))]
            # A branch of an earlier layer that the output does not need is left out.
            _, used = partial_eval.dce_jaxpr(jaxpr, wanted)
            found = [
                name for name, is_used in zip(names, used, strict=False) if is_used
            ]
            needed[path] = [n[7:] for n in found if n.startswith("params/")]
            start = end
        return needed

    @functools.cached_property
    def called(self) -> list[str]:
        """The paths of the submodules in the order of their first call."""
        called: dict[str, None] = {}

        def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            if context.method_name == "__call__" and context.module.scope is not None:
                called["/".join(context.module.path)] = None
            return call(*args, **kwargs)

        with nn.intercept_methods(note):
            jax.eval_shape(self.model.apply, self._variables, self._images)
        return [path for path in called if path]

    @functools.cached_property
    def _images(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)

    @functools.cached_property
    def _variables(self) -> PyTree:
        return jax.eval_shape(self.model.init, jax.random.key(0), self._images)


def freeze_pattern(
    model: nn.Module, image_shape: Sequence[int], freeze: str
) -> str | None:
    """Returns a regular expression of what is frozen, for all that takes `freeze=`.

    Args:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.
        freeze: `"all"`: everything but the head, which is what depends on the number of
            classes; `"through:PATH"`: what the output of that submodule depends on, so
            from the stem to it, such as `"through:stage2_block3"`; `"none"`; or a
            regular expression, searched for in names such as `"stem/conv/kernel"`.

    Returns:
        The expression, which also names the batch statistics; None for `"none"`.

    Raises:
        ValueError: if there is no such submodule, the expression is none or matches no
            parameter, or it is not known what the head is.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> freeze_pattern(create_model("lenet"), (28, 28, 1), "through:conv2")
        '^(?:conv1/|conv2/)'
    """
    return Depth(model, tuple(image_shape)).frozen(freeze)


def rates_by_depth(
    model: nn.Module, image_shape: Sequence[int], decay: float
) -> list[tuple[str, float]]:
    """Returns rules for `make_optimizer`: the earlier a stage, the lower its rate.

    Args:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.
        decay: Factor from each of `stages` to the one before, in (0, 1]; the last,
            with the head, has the factor 1.

    Returns:
        Pairs of a regular expression and a factor of the learning rate.

    Raises:
        ValueError: if the factor is out of range.

    References:
        Howard and Ruder, "Universal Language Model Fine-tuning for Text
        Classification", ACL 2018, section 3.2, https://arxiv.org/abs/1801.06146
        (discriminative fine-tuning).

    Example:
        >>> from jaxcnn.registry import create_model
        >>> rates_by_depth(create_model("lenet"), (28, 28, 1), 0.5)[0]
        ('^(?:conv1/)', 0.25)
    """
    return Depth(model, tuple(image_shape)).rates(decay)


def stages(model: nn.Module, image_shape: Sequence[int]) -> list[list[str]]:
    """Returns the names of the parameters of each stage, from the stem to the head.

    A stage ends with an endpoint of the model's family (`feature_info`); for a model
    without endpoints each of its outermost submodules is one. The last holds what is
    left.

    Args:
        model: Any Linen module that is called with images.
        image_shape: `(height, width, channels)` of the images.

    Example:
        >>> from jaxcnn.registry import create_model
        >>> stages(create_model("lenet"), (28, 28, 1))[-1]
        ['head/bias', 'head/kernel']
    """
    return Depth(model, tuple(image_shape)).stages


def pattern_of(names: Iterable[str], all_names: Iterable[str]) -> str:
    """Returns a short regular expression that matches those names and no others.

    Args:
        names: Those to match.
        all_names: All that there are.

    Raises:
        ValueError: if there are none.

    Example:
        >>> pattern_of(["a/b", "a/c", "d/e"], ["a/b", "a/c", "d/e", "d/f"])
        '^(?:a/|d/e$)'
    """
    wanted, every = set(names), list(all_names)
    if not wanted:
        raise ValueError("There is no parameter to match.")
    parts: dict[str, None] = {}
    for name in every:
        if name not in wanted:
            continue
        words = name.split("/")
        for depth in range(1, len(words)):
            prefix = "/".join(words[:depth]) + "/"
            if all(n in wanted for n in every if n.startswith(prefix)):
                parts[re.escape(prefix)] = None
                break
        else:
            parts[re.escape(name) + "$"] = None
    return f"^(?:{'|'.join(parts)})"
