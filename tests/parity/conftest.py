"""The reference, imported only when a test of this folder runs."""

import contextlib
import os
import warnings

import pytest

import jaxcnn.models  # noqa: F401  (registers them)


@pytest.fixture(scope="session")
def torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture(scope="session")
def torchvision(torch):
    # A torchvision built for CUDA beside a torch that is not cannot load its operators,
    # and its import fails unless somebody has declared these two.
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        signature = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        # RuntimeError: torchvision was imported before, with operators of its own.
        with contextlib.suppress(RuntimeError):
            library.define(signature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("torchvision", exc_type=ImportError)
    yield module
    del library


@pytest.fixture(scope="session")
def timm(torchvision):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")
