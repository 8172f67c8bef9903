import sys

import numpy as np
import pytest

from jaxcnn.interpret import pca, tsne


@pytest.fixture
def features():
    draws = np.random.default_rng(0)
    return draws.normal(3, 1, (50, 8)) @ draws.normal(0, 1, (8, 8))


@pytest.mark.parametrize("examples", [50, 5])
def test_equal_to_scikit_learns_up_to_the_sign(features, examples):
    from sklearn.decomposition import PCA

    x = features[:examples]
    theirs = PCA(3, svd_solver="full").fit(x)
    ours = pca(x, 3)
    signs = np.sign((ours.components * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.mean, theirs.mean_)
    np.testing.assert_allclose(ours.components, theirs.components_ * signs[:, None])
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_)
    np.testing.assert_allclose(ours.shares, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(ours.project(x), theirs.transform(x) * signs, atol=1e-9)


def test_all_components_give_the_features_back(features):
    full = pca(features, 8)
    np.testing.assert_allclose(full.restore(full.project(features)), features)
    assert full.shares.sum() == pytest.approx(1)


def test_directions_point_where_their_largest_entry_is_positive(features):
    for sign in (1, -1):
        components = pca(sign * features, 3).components
        largest = np.abs(components).argmax(axis=1)
        assert (components[range(3), largest] > 0).all()


def test_equal_examples_have_no_variance():
    assert pca(np.ones((4, 3, 2)), 2).shares.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("features", "components", "message"),
    [
        (np.ones((1, 3)), 1, "features of 1 examples: 2 or more"),
        (np.ones((4, 3)), 4, "components=4, but 4 examples of 3 numbers have 3"),
        (np.full((4, 3), np.nan), 1, "hold NaN or infinity"),
        (np.ones((4, 3)), 0, "components must be"),
    ],
)
def test_errors(features, components, message):
    with pytest.raises(ValueError, match=message):
        pca(features, components)


@pytest.mark.thorough
def test_tsne_is_scikit_learns_from_principal_components(features):
    from sklearn.manifold import TSNE

    points = tsne(features.reshape(50, 2, 4), perplexity=5, seed=3)
    theirs = TSNE(perplexity=5, init="pca", random_state=3)
    expected = theirs.fit_transform(features.astype(np.float32))
    np.testing.assert_array_equal(points, expected)


def test_tsne_errors(monkeypatch):
    with pytest.raises(ValueError, match="below the 4 examples, got 30"):
        tsne(np.ones((4, 3)))
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match=r"pip install scikit-learn"):
        tsne(np.ones((4, 3)), perplexity=2)
