"""Lookahead: slow weights that follow the optimizer's fast ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxcnn.optim.ranges import check_range
from jaxcnn.typing import Array, PyTree


class LookaheadState(NamedTuple):
    """The state of `lookahead`.

    Attributes:
        count: Updates since the slow weights moved, int32 scalar.
        slow: The slow weights.
        inner: The state of the optimizer inside.
    """

    count: Array
    slow: PyTree
    inner: PyTree


def lookahead(
    tx: optax.GradientTransformation, k: int = 5, alpha: float = 0.5
) -> optax.GradientTransformationExtraArgs:
    r"""Returns an optimizer that averages over the path of another.

    After every :math:`k` updates of `tx` the slow weights move towards the fast ones,
    which start anew from there:

    .. math::
        \phi \leftarrow \phi + \alpha (\theta - \phi), \quad \theta \leftarrow \phi.

    The parameters are the fast weights; at multiples of :math:`k` steps they are the
    slow ones, which is when to evaluate. `optax.lookahead` holds both in its
    parameters; here the slow ones are state, and parameters stay what they are.

    Args:
        tx: The optimizer inside, its learning rate included.
        k: Updates between synchronisations.
        alpha: How far the slow weights go.

    Raises:
        ValueError: if `k` is not a positive whole number or `alpha` not in (0, 1].

    References:
        Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019,
        algorithm 1, https://arxiv.org/abs/1907.08610.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"The lookahead's k={k!r} is not a positive number of steps.")
    if alpha != 1:
        check_range("alpha", alpha, low=0, high=1, open_low=True)
    tx = optax.with_extra_args_support(tx)

    def init(params: PyTree) -> LookaheadState:
        # A copy: the step may donate the parameters' buffers.
        slow = jax.tree.map(jnp.copy, params)
        return LookaheadState(jnp.zeros((), jnp.int32), slow, tx.init(params))

    def update(
        updates: PyTree, state: LookaheadState, params: PyTree, **extra: PyTree
    ) -> tuple[PyTree, LookaheadState]:
        updates, inner = tx.update(updates, state.inner, params, **extra)
        meet = state.count + 1 == k

        def merge(update: Array, param: Array, slow: Array) -> Array:
            target = slow + alpha * (param + update - slow)
            return jnp.where(meet, target - param, update).astype(update.dtype)

        updates = jax.tree.map(merge, updates, params, state.slow)
        # What the parameters become, rounding included.
        slow = jax.tree.map(
            lambda slow, new: jnp.where(meet, new, slow),
            state.slow,
            optax.apply_updates(params, updates),
        )
        return updates, LookaheadState((state.count + 1) % k, slow, inner)

    return optax.GradientTransformationExtraArgs(init, update)
