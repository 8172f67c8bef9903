"""Files that PyTorch, safetensors and Keras write, read without them."""

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcnn
from jaxcnn.data import load_source
from jaxcnn.data.preprocess import PreprocessConfig
from jaxcnn.transfer.safetensors import read_safetensors, write_safetensors
from jaxcnn.transfer.weight_file import read_weights

from .compare import assert_close

pytestmark = pytest.mark.parity

TORCH_TYPES = [
    "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64",
    "complex128 uint16 uint32 uint64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz",
    "float8_e5m2fnuz",
]
TORCH_TYPES = " ".join(TORCH_TYPES).split()


def bits(array):
    """Returns an array's numbers as bytes, so that all types can be compared."""
    return np.ascontiguousarray(array).view(np.uint8)


def torch_bits(torch, tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()


@pytest.mark.parametrize("zipped", [True, False])
def test_every_type_that_torch_saves(torch, tmp_path, zipped):
    tensors = {
        name: torch.arange(6).to(getattr(torch, name)).reshape(2, 3)
        for name in TORCH_TYPES
    }
    path = tmp_path / "x"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    found = read_weights(path).arrays
    assert list(found) == TORCH_TYPES
    for name, tensor in tensors.items():
        assert found[name].dtype.name == name
        assert found[name].shape == (2, 3)
        np.testing.assert_array_equal(
            bits(found[name]).ravel(), torch_bits(torch, tensor), err_msg=name
        )


@pytest.mark.parametrize("zipped", [True, False])
def test_views_of_shared_storages(torch, tmp_path, zipped):
    base = torch.arange(60.0).reshape(3, 4, 5)
    tensors = {
        "base": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:, ::2, 3],
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "repeated": torch.arange(3.0).expand(4, 3),
        "scalar": torch.tensor(3.0),
        "none": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(torch.arange(3.0)),
    }
    path = tmp_path / "x"
    torch.save({"model": tensors}, path, _use_new_zipfile_serialization=zipped)
    found = read_weights(path).arrays
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.detach().numpy())
    assert list(found) == list(tensors)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_of_a_wrapped_module(torch, tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    wrapped = torch.nn.DataParallel(module)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.1, momentum=0.9)
    checkpoint = {
        "state_dict": wrapped.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": 0.5,
    }
    torch.save(checkpoint, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "x").arrays
    expected = module.state_dict()
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_module_is_refused(torch, tmp_path, zipped):
    path = tmp_path / "x"
    module = torch.nn.Linear(2, 3)
    torch.save(module, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=r"asks for torch\.nn\.modules\.linear\.Linear"
    ):
        read_weights(path)


def test_safetensors_are_what_the_library_reads_and_writes(torch, tmp_path):
    library = pytest.importorskip("safetensors.torch")
    tensors = {
        name: torch.arange(6).to(getattr(torch, name)).reshape(2, 3)
        for name in TORCH_TYPES
        if name not in ("complex128", "float8_e4m3fnuz", "float8_e5m2fnuz")
    }
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    library.save_file(tensors, theirs, metadata={"a": "b"})
    found, metadata = read_safetensors(theirs)
    assert metadata == {"a": "b"}
    assert set(found) == set(tensors)
    write_safetensors(ours, found, {"a": "b"})
    again = library.load_file(ours)
    for name, tensor in tensors.items():
        assert found[name].dtype.name == name
        expected = torch_bits(torch, tensor)
        np.testing.assert_array_equal(bits(found[name]).ravel(), expected)
        np.testing.assert_array_equal(torch_bits(torch, again[name]), expected)
        assert again[name].dtype == tensor.dtype


def test_published_cifar_weights_reach_their_accuracy():
    """91.73 % with the weights of https://github.com/akamaster/pytorch_resnet_cifar10.

    One image more or less is left to rounding.
    """
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    folder = Path(os.environ["JAXCNN_TEST_DATA"])
    model, variables = jaxcnn.load_model(
        "resnet20_cifar", folder / "weights" / "resnet20-12fca82f.th"
    )
    config = jaxcnn.pretrained_config("resnet20_cifar", "akamaster:cifar10")
    preprocess = jaxcnn.make_preprocess(config)
    test = load_source("cifar10", "test", data_dir=folder / "tfds")
    assert test.class_names == config.class_names

    @jax.jit
    def predict(images):
        return model.apply(variables, preprocess(images)).argmax(-1)

    batches = np.split(test.images, 20)
    labels = np.concatenate([predict(batch) for batch in batches])
    assert len(labels) == 10_000
    assert abs((labels == test.labels).sum() - 9_173) <= 1


def test_a_published_set_is_taken_from_the_cache(tmp_path, monkeypatch):
    """With the file put where a download would put it."""
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path))
    file = Path(os.environ["JAXCNN_TEST_DATA"], "weights", "resnet20-12fca82f.th")
    (tmp_path / "weights").mkdir()
    shutil.copy(file, tmp_path / "weights")
    _, one = jaxcnn.load_model("resnet20_cifar", "akamaster:cifar10")
    _, other = jaxcnn.load_model("resnet20_cifar", file)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_published_squeezenet_names_what_is_on_photographs(tmp_path, monkeypatch):
    """Converted from Caffe: blue first, the mean subtracted, nothing divided."""
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    data = Path(os.environ["JAXCNN_TEST_DATA"])
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    shutil.copy(data / "weights" / "squeezenet1_0-imagenet.npz", tmp_path / "weights")
    model, variables = jaxcnn.load_model("squeezenet1_0", "caffe:imagenet")
    config = jaxcnn.pretrained_config("squeezenet1_0", "caffe:imagenet")
    preprocess = jaxcnn.make_preprocess(config)
    predict = jax.jit(lambda images: model.apply(variables, preprocess(images)))
    for file, name in (("chelsea.png", "Egyptian cat"), ("coffee.png", "espresso")):
        with Image.open(data / "photos" / file) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert config.class_names[int(predict(pixels[None]).argmax())] == name


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torchvision_gives_its_logits(torch, torchvision, tmp_path, zipped):
    """The whole way: saved by PyTorch, read without it, named, turned, computed."""
    reference = torchvision.models.squeezenet1_1(num_classes=7).eval()
    path = tmp_path / "x.pth"
    state = {"state_dict": torch.nn.DataParallel(reference).state_dict()}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    model, variables = jaxcnn.load_model("squeezenet1_1", path)
    assert model.num_classes == 7
    images = np.random.default_rng(0).standard_normal((2, 64, 48, 3)).astype(np.float32)
    with torch.no_grad():
        planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
        expected = reference(planes).numpy()
    assert_close(jax.jit(model.apply)(variables, images), expected)


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (300, 299)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_preprocessing_is_torchvisions(torchvision, resize, crop, interpolation):
    """Within a level of 255, before it is divided by the deviation."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms._presets import ImageClassification

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = ImageClassification(
        crop_size=crop,
        resize_size=resize,
        mean=mean,
        std=std,
        interpolation=InterpolationMode(interpolation),
        antialias=True,
    )
    rng = np.random.default_rng(0)
    for size in ((275, 401), (500, 333)):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        expected = np.moveaxis(theirs(Image.fromarray(image)).numpy(), 0, -1)
        config = PreprocessConfig(
            mean, std, resize=resize, crop=(crop, crop), interpolation=interpolation
        )
        found = np.asarray(jaxcnn.make_preprocess(config)(image[None]))[0]
        assert np.abs((found - expected) * np.array(std) * 255).max() < 1.001


def keras_model(keras):
    layers = keras.layers
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="first")(images)
    x = layers.BatchNormalization(name="bn_a")(x)
    x = layers.BatchNormalization(scale=False, name="bn_b")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="deep")(x)
    x = layers.SeparableConv2D(5, 3, name="apart")(x)
    x = layers.Conv2D(6, 1, use_bias=False, name="second")(x)
    return keras.Model(images, layers.Dense(2, name="head")(layers.Flatten()(x)))


@pytest.mark.parametrize("name", ["x.h5", "x.weights.h5", "x.keras"])
@pytest.mark.filterwarnings("ignore")
def test_files_of_keras(keras, tmp_path, name):
    model = keras_model(keras)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape))
    path = tmp_path / name
    (model.save_weights if "weights" in name else model.save)(path)
    found = read_weights(path).arrays
    expected = {weight.path: np.asarray(weight) for weight in model.weights}
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)
