import pytest

from jaxcnn.augment import default_augment, make_augment
from jaxcnn.augment.defaults import DEFAULTS, expanded
from jaxcnn.experiment.build import build
from jaxcnn.experiment.config import DataConfig, ExperimentConfig, ModelConfig

CHARACTERS = ("digits", "mnist", "emnist", "kmnist", "svhn_cropped")


def words(name):
    return " ".join(DEFAULTS[name])


def test_every_row_can_be_made():
    for name, specs in DEFAULTS.items():
        assert make_augment(specs).steps, name


@pytest.mark.parametrize("name", [*CHARACTERS, "pneumoniamnist", "chest_xray", None])
def test_no_mirror_where_it_would_change_the_meaning(name):
    assert "flip" not in words(name)


def test_mirrors_where_they_make_sense():
    assert "pad_crop(padding=4) random_flip" == words("cifar10")
    assert "random_vertical_flip" in words("bloodmnist")
    assert "random_vertical_flip" not in words("imagenet2012")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("cifar10:/data/x", "cifar10"),
        ("npz:/data/pneumoniamnist.npz", "pneumoniamnist"),
        ("npz:PneumoniaMNIST.npz", "pneumoniamnist"),
        ("folder:/data/chest_xray/", "chest_xray"),
        ("eurosat/rgb:2.0.0", "eurosat"),
        ("mnist:3.0.1", "mnist"),
        ("folder:/my/own", None),
        ("npz:mnist_like.npz", None),
    ],
)
def test_names_of_data(name, row):
    assert default_augment(name) == DEFAULTS[row]


def test_expands_in_place():
    specs = ("default", "random_erasing")
    own = DEFAULTS["cifar10"]
    assert expanded(specs, "cifar10") == (*own, "random_erasing")
    assert expanded(specs, "cifar10", decoded_late=True) == ("random_erasing",)
    assert expanded((), "cifar10") == ()


def test_a_configuration_takes_the_word():
    data = DataConfig(augment=("default", "random_erasing"), batch_size=8)
    experiment = build(ExperimentConfig(model=ModelConfig("mlp"), data=data))
    assert len(experiment.augment.steps) == 2
