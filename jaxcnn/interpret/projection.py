"""Features as points of a plane: principal components, and t-SNE."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxcnn.layers.checks import check_number


class Pca(NamedTuple):
    """The directions in which features differ most.

    Attributes:
        mean: Mean of the features, `[width]`.
        components: Directions of length 1, the widest first, `[count, width]`.
        variances: Variance of the features along each, `[count]`.
        shares: Part of the whole variance along each, `[count]`.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    shares: np.ndarray

    def project(self, features: ArrayLike) -> np.ndarray:
        """Returns where features lie along the directions, `[n, count]`."""
        return (_rows(features) - self.mean) @ self.components.T

    def restore(self, points: ArrayLike) -> np.ndarray:
        """Returns the features, `[n, width]`, of points along the directions."""
        return np.asarray(points, np.float64) @ self.components + self.mean


def pca(features: ArrayLike, components: int = 2) -> Pca:
    """Returns the principal components of features, computed in float64.

    Args:
        features: `[n, ...]`; what follows the first axis is flattened.
        components: How many directions. Each has its largest entry positive, so that
            the same features give the same picture.

    Raises:
        ValueError: if there are fewer than two examples, fewer directions than asked
            for, or the features are not finite.

    Example:
        >>> line = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
        >>> found = pca(line, 1)
        >>> found.components.round(2).tolist(), found.variances.round(2).tolist()
        ([[0.6, 0.8]], [25.0])

    References:
        Hotelling, "Analysis of a complex of statistical variables into principal
        components", J. Educational Psychology 24, 1933.
    """
    x = _rows(features)
    check_number("components", components, 1)
    _check(x, least=2)
    if components > min(x.shape):
        raise ValueError(
            f"components={components}, but {x.shape[0]} examples of {x.shape[1]} "
            f"numbers have {min(x.shape)}."
        )
    mean = x.mean(axis=0)
    centred = x - mean
    total = np.square(centred).sum() / (len(x) - 1)
    variances, directions = _directions(centred)
    variances, directions = variances[:components], directions[:components]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(components), largest])
    shares = variances / total if total > 0 else np.zeros(components)
    return Pca(mean, directions * signs[:, None], variances, shares)


def _directions(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns variances and directions, the widest first."""
    count, width = centred.shape
    if count < width:
        _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
        return lengths**2 / (count - 1), directions
    covariance = centred.T @ centred / (count - 1)
    variances, columns = np.linalg.eigh(covariance)  # the smallest first
    return np.maximum(variances[::-1], 0), columns.T[::-1]


def tsne(features: ArrayLike, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Returns points of a plane that keep neighbours of features together, `[n, 2]`.

    Only who is near whom has a meaning: neither the size of groups nor the distance
    between them. Needs scikit-learn.

    Args:
        features: `[n, ...]`; what follows the first axis is flattened.
        perplexity: About how many neighbours count; fewer than there are examples.
        seed: Of scikit-learn's random numbers. It begins with principal components.

    Raises:
        ValueError: if `perplexity` is not above 0 and below the number of examples.
        ImportError: if scikit-learn is not installed.

    References:
        van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008,
        https://www.jmlr.org/papers/v9/vandermaaten08a.html.
    """
    x = _rows(features)
    _check(x, least=3)
    if not 0 < perplexity < len(x):
        raise ValueError(
            f"perplexity must be above 0 and below the {len(x)} examples, got "
            f"{perplexity}."
        )
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError(
            "t-SNE needs scikit-learn: pip install scikit-learn. pca needs nothing."
        ) from error
    made = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return made.fit_transform(x.astype(np.float32))


def _rows(features: ArrayLike) -> np.ndarray:
    x = np.asarray(features, np.float64)
    return x.reshape(len(x), -1)


def _check(x: np.ndarray, least: int) -> None:
    if len(x) < least:
        raise ValueError(f"features of {len(x)} examples: {least} or more are needed.")
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinity.")
