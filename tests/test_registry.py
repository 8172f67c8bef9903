"""The registry: names, keywords, kinds and the messages for wrong ones."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxcnn import registry
from jaxcnn.registry import create_model, list_models, model_kind, register_model


class Net(nn.Module):
    """A module to register."""

    stage_sizes: tuple[int, ...] = (1,)
    features: int = 4
    num_classes: int = 10

    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(self.num_classes, name="head")(x)


class Needy(nn.Module):
    features: int

    def __call__(self, x, *, train=False):
        return x


@pytest.fixture(autouse=True)
def models(monkeypatch):
    """Fills a registry of its own, so that no test leaves a trace in the real one."""
    monkeypatch.setattr(registry, "_MODELS", {})

    @register_model
    def net18(**kwargs) -> Net:
        return Net(stage_sizes=(2, 2), **kwargs)

    @register_model
    def net101(**kwargs) -> "Net":
        return Net(stage_sizes=(3, 4), **kwargs)

    @register_model(kind="autoencoder")
    def coder(latent: int, *, depth: int = 2) -> Net:
        return Net(stage_sizes=(depth,), features=latent)


def test_a_function_fixes_some_fields_and_passes_the_others():
    model = create_model("net18", features=8)
    assert (model.stage_sizes, model.features, model.num_classes) == ((2, 2), 8, 10)


def test_names_come_in_natural_order_by_pattern_and_kind():
    assert list_models() == ["coder", "net18", "net101"]
    assert list_models("net*") == ["net18", "net101"]
    assert list_models(kind="autoencoder") == ["coder"]
    assert list_models("vgg*") == []
    assert [model_kind(name) for name in list_models()] == [
        "autoencoder",
        "classifier",
        "classifier",
    ]


def test_a_linen_class_registers_under_its_own_or_a_given_name():
    assert register_model(Net) is Net
    register_model(name="other")(Net)
    assert create_model("Net", stage_sizes=(5,)).stage_sizes == (5,)
    assert create_model("other").features == 4


def test_lists_from_json_become_tuples_so_that_the_module_can_be_hashed():
    register_model(Net)
    model = create_model("Net", stage_sizes=[2, [3]])
    assert model.stage_sizes == (2, (3,))
    hash(model)
    output = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.ones((2, 3)))
    assert output[0].shape == (2, 10)


def test_a_name_stands_for_one_constructor():
    def net18(**kwargs) -> Net:
        return Net(**kwargs)

    with pytest.raises(ValueError, match=r"'net18' is already registered by .*models"):
        register_model(net18)


def test_defining_the_same_function_again_replaces_it():
    for size in (1, 2):

        @register_model
        def again(size=size) -> Net:
            return Net(features=size)

    assert create_model("again").features == 2


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("net1", {}, r"Unknown model 'net1'. Did you mean 'net18'\? Models: coder, "),
        ("zzzzz", {}, r"Unknown model 'zzzzz'. Models: coder, net18, net101\."),
        (
            "net18",
            {"feature": 3},
            r"'net18' has no keyword 'feature'. Did you mean 'features'\? "
            r"Allowed: features, num_classes\.",
        ),
        ("net18", {"parent": None}, "'net18' has no keyword 'parent'"),
        ("net18", {"stage_sizes": (1,)}, "'net18' fixes 'stage_sizes' itself.*Net dir"),
        ("coder", {}, "'coder' needs the keyword 'latent'"),
        ("coder", {"latent": 1, "deph": 3}, "Did you mean 'depth'"),
    ],
)
def test_wrong_names_and_keywords_are_explained(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **kwargs)


def test_a_class_with_required_fields_says_which_is_missing():
    register_model(Needy)
    with pytest.raises(ValueError, match="'Needy' needs the keyword 'features'"):
        create_model("Needy")


def test_kinds_and_names_asked_for_must_exist():
    with pytest.raises(ValueError, match=r"Unknown kind 'autoencode'. Did you mean"):
        list_models(kind="autoencode")
    with pytest.raises(ValueError, match=r"Unknown model 'nett18'. Did you mean"):
        model_kind("nett18")


def test_an_empty_registry_says_so():
    registry._MODELS.clear()
    with pytest.raises(ValueError, match=r"Unknown model 'x'. Models: none\."):
        create_model("x")
