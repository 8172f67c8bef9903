"""Learning rates by parameter: multipliers, schedules and freezing by path."""

import re
from collections.abc import Sequence

import optax

from jaxcnn import tree
from jaxcnn.optim.ranges import compiled
from jaxcnn.optim.schedules import Schedule
from jaxcnn.typing import PyTree

#: A regular expression, and a multiplier of the rate, a rate of its own, or None.
Rule = tuple[str, float | Schedule | None]


def check_rules(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Returns the rules as a tuple of pairs.

    Raises:
        ValueError: if one is no pair, its pattern no regular expression, or its value
            neither None, a number above 0 nor a function of the step.
    """
    if isinstance(rules, str) or not isinstance(rules, Sequence):
        raise ValueError(f"rules must be a list of (regex, value), got {rules!r}.")
    for k, rule in enumerate(rules):
        name = f"rules[{k}]"
        if not isinstance(rule, list | tuple) or len(rule) != 2:
            raise ValueError(f"{name} must be a pair (regex, value), got {rule!r}.")
        pattern, value = rule
        if not isinstance(pattern, str):
            raise ValueError(f"{name} must begin with a regular expression: {rule!r}.")
        compiled(name, pattern)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (value is None or callable(value) or (is_number and 0 < value < 1e9)):
            raise ValueError(
                f"{name} gives {pattern!r} the value {value!r}: it must be None "
                "(frozen), a multiplier above 0 or a schedule."
            )
    return tuple((pattern, value) for pattern, value in rules)


def first_match(rules: Sequence[Rule], name: str) -> int | None:
    """Returns the index of the first rule whose pattern is found in the name."""
    for k, (pattern, _) in enumerate(rules):
        if re.search(pattern, name):
            return k
    return None


def is_frozen(rules: Sequence[Rule], freeze: str | None, name: str) -> bool:
    """Returns whether the parameter of that name is not to change."""
    if freeze is not None and re.search(freeze, name):
        return True
    k = first_match(rules, name)
    return k is not None and rules[k][1] is None


def frozen(
    tx: optax.GradientTransformation, rules: Sequence[Rule], freeze: str | None
) -> optax.GradientTransformationExtraArgs:
    """Returns `tx` for what is not frozen; the rest does not move and has no state."""

    def labels(params: PyTree) -> PyTree:
        return tree.map_named(
            lambda name, _: "frozen" if is_frozen(rules, freeze, name) else "trained",
            params,
        )

    return optax.partition({"trained": tx, "frozen": optax.set_to_zero()}, labels)


def scale_by_rates(
    rate: float | Schedule, rules: Sequence[Rule]
) -> optax.GradientTransformation:
    """Returns the multiplication by every parameter's own (negative) learning rate."""
    if all(value is None for _, value in rules):
        return optax.scale_by_learning_rate(rate)

    def rate_of(value: float | Schedule) -> float | Schedule:
        if callable(value):
            return value
        if callable(rate):
            return lambda step: value * rate(step)
        return value * rate

    transformations = {
        str(k): optax.scale_by_learning_rate(rate_of(value))
        for k, (_, value) in enumerate(rules)
        if value is not None
    }
    transformations["rest"] = optax.scale_by_learning_rate(rate)

    def labels(params: PyTree) -> PyTree:
        def label(name: str, _: PyTree) -> str:
            k = first_match(rules, name)
            return "rest" if k is None else str(k)

        return tree.map_named(label, params)

    return optax.partition(transformations, labels)


def check_reach(
    rules: Sequence[Rule], freeze: str | None, names: Sequence[str]
) -> None:
    """Raises unless every pattern decides on a parameter and something is trained.

    Raises:
        ValueError: naming the pattern, and the parameters that there are.
    """
    for k, (pattern, _) in enumerate(rules):
        matched = [name for name in names if re.search(pattern, name)]
        if not matched:
            raise ValueError(
                f"rules[{k}]={pattern!r} matches none of the parameters: "
                f"{', '.join(names)}."
            )
        if all(first_match(rules, name) != k for name in matched):
            raise ValueError(
                f"rules[{k}]={pattern!r} decides on nothing: the rules before it match "
                f"all of {', '.join(matched)}. The first match wins."
            )
    if all(is_frozen(rules, freeze, name) for name in names):
        argument = f"freeze={freeze!r}" if freeze is not None else "rules"
        what = "matches every parameter" if not rules else "freezes every parameter"
        raise ValueError(f"{argument} {what}: nothing is left to train.")
