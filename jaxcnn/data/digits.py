"""The handwritten digits that scikit-learn ships: real data without a download."""

import numpy as np

from jaxcnn.data.resize import resized
from jaxcnn.data.source import Source
from jaxcnn.data.splits import Split, stratified_choice, unknown_split

SIDE = 28
TEST_COUNT = 360
_SPLIT_SEED = 0


def read_digits(split: Split) -> Source:
    """Returns a split of the UCI handwritten digits: 1,437 train, 360 test.

    1,797 scans of digits by 43 people, 8x8 pixels with values 0..16, scaled to 0..255
    and enlarged to 28x28 (bilinear). They are not MNIST: other writers, other scans
    and a sixteenth of the detail. Train and test are one fixed stratified choice.

    Args:
        split: `train`, `test` or a slice of one.

    Raises:
        ValueError: if there is no such split.

    References:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, 1998, https://doi.org/10.24432/C50P49 (its test part).
    """
    from sklearn.datasets import load_digits

    if split.base not in ("train", "test"):
        raise unknown_split("digits", split.base, ("train", "test"))
    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    is_test = stratified_choice(labels, TEST_COUNT, _SPLIT_SEED)
    chosen = is_test if split.base == "test" else ~is_test
    names = tuple(str(digit) for digit in range(10))
    small = Source("digits", images[chosen], labels[chosen], names, split.base)
    return resized(split.cut(small), (SIDE, SIDE))
