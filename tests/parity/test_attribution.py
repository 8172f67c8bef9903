"""Attributions equal captum's and pytorch-grad-cam's for the same weights and images.

Everything in float64, so that the largest difference, relative to the largest value, is
that of the formulas.
"""

import os
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn
from jaxcnn import interpret
from jaxcnn.transfer.load import load

from .compare import assert_close

pytestmark = pytest.mark.parity

TARGETS = np.array([2, 5])

#: Their constructor and layer for class activation maps, the size of the images, ours.
MODELS = {
    "resnet18": ("resnet18", lambda net: net.layer4[-1], 64, "stage4_block2"),
    # Behind the ReLU of the last convolution: the pool behind it is no submodule.
    "vgg11": ("vgg11", lambda net: net.features[-2], 64, "conv5_2"),
    "densenet121": ("densenet121", lambda net: net.features[-1], 64, "norm"),
    "mobilenet_v2": ("mobilenet_v2", lambda net: net.features[-1], 64, "last"),
}


class Both:
    """A model of theirs, and ours with its weights, in float64."""

    def __init__(self, torch, net, name, layer, images, **options):
        self.torch, self.net, self.layer = torch, net.double().eval(), layer
        state = {k: v.float().numpy() for k, v in net.state_dict().items()}
        loaded = load(name, state, **options)
        self.model = loaded.model
        self.variables = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), loaded.variables
        )
        self.images = images
        self.planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))

    def ours(self, function, *args, **options):
        images = jnp.asarray(self.images)
        compiled = jax.jit(
            lambda v, x: function(self.model, v, x, *args, TARGETS, **options)
        )
        return compiled(self.variables, images)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def weighted(torch, net):
    """Returns a net with statistics that are not those of its beginning."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    # Float32 values, which our converter keeps.
    return net.float()


@pytest.fixture(scope="module")
def made(torch, torchvision):
    found = {}

    def make(name):
        if name not in found:
            torch.manual_seed(0)
            theirs, layer, size, _ = MODELS[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net = getattr(torchvision.models, theirs)(num_classes=7)
            images = np.random.default_rng(0).normal(size=(2, size, size, 3))
            with jax.enable_x64(True):
                net = weighted(torch, net)
                found[name] = Both(torch, net, name, layer(net), images)
        return found[name]

    return make


def channels_last(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


@pytest.fixture
def captum():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attr = pytest.importorskip("captum.attr")
        yield attr


@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("vgg11", marks=pytest.mark.parity_full)]
)
def test_gradients_are_captums(made, captum, name):
    both = made(name)
    targets = both.torch.from_numpy(TARGETS)
    for ours, theirs in {
        interpret.saliency: captum.Saliency,
        interpret.gradient_times_input: captum.InputXGradient,
    }.items():
        expected = theirs(both.net).attribute(both.planes.clone(), target=targets)
        assert_close(both.ours(ours), channels_last(expected), 1e-9)


@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("vgg11", marks=pytest.mark.parity_full)]
)
def test_guided_backpropagation_is_captums(made, captum, name):
    both = made(name)
    for module in both.net.modules():
        if isinstance(module, both.torch.nn.ReLU):
            module.inplace = False  # captum's hooks need the value before
    expected = captum.GuidedBackprop(both.net).attribute(
        both.planes.clone(), target=both.torch.from_numpy(TARGETS)
    )
    found = both.ours(interpret.guided_backpropagation)
    assert_close(found, channels_last(expected), 1e-9)
    plain = both.ours(interpret.input_gradient)
    assert np.abs(plain - found).max() > 0.1 * np.abs(plain).max()


@pytest.mark.parametrize(
    "rule",
    ["gauss_legendre", pytest.param("trapezoid", marks=pytest.mark.parity_full)],
)
def test_integrated_gradients_are_captums(made, captum, rule):
    both = made("resnet18")
    expected, delta = captum.IntegratedGradients(both.net).attribute(
        both.planes,
        baselines=0.25,
        target=both.torch.from_numpy(TARGETS),
        n_steps=6,
        method=rule.replace("_", "") if "gauss" in rule else "riemann_trapezoid",
        return_convergence_delta=True,
    )
    found = both.ours(
        lambda m, v, x, t: interpret.integrated_gradients(
            m, v, x, t, baseline=0.25, steps=6, rule=rule, batch_size=12
        )
    )
    if rule == "gauss_legendre":
        # captum keeps the points and weights of the rule in float32.
        assert_close(found.attributions, channels_last(expected), 1e-6)
        np.testing.assert_allclose(found.gap, delta.numpy(), atol=1e-7)
    else:
        # captum divides by the steps, not by the intervals between them, so that its
        # weights sum to 5/6 with six steps; the rule's own sum to 1.
        assert_close(found.attributions, channels_last(expected) * 6 / 5, 1e-6)


@pytest.mark.parametrize(("window", "stride"), [(20, 20), (32, 24)])
def test_occlusion_is_captums(made, captum, window, stride):
    both = made("resnet18")
    expected = captum.Occlusion(both.net).attribute(
        both.planes,
        sliding_window_shapes=(3, window, window),
        strides=(3, stride, stride),
        target=both.torch.from_numpy(TARGETS),
        baselines=0.1,
    )
    found = both.ours(
        lambda m, v, x, t: interpret.occlusion(
            m, v, x, t, window=window, stride=stride, baseline=0.1
        )
    )
    # Our logits are float32, and so are their differences.
    assert_close(found, channels_last(expected)[..., 0], 1e-4)


def test_raw_grad_cam_is_captums(made, captum):
    both = made("resnet18")
    layer = captum.LayerGradCam(both.net, both.net.layer3)
    expected = layer.attribute(
        both.planes,
        target=both.torch.from_numpy(TARGETS),
        relu_attributions=True,
    )
    expected = both.torch.nn.functional.interpolate(
        expected, (64, 64), mode="bilinear", align_corners=False
    )
    options = {"layers": "stage3_block2", "normalize": False}
    found = both.ours(lambda *args: interpret.grad_cam(*args, **options))
    assert_close(found, channels_last(expected)[..., 0], 1e-9)


THEIRS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "layer_cam": "LayerCAM",
    "hires_cam": "HiResCAM",
    "eigen_cam": "EigenCAM",
}


def cam_of(both, method, layers, targets, **options):
    import pytorch_grad_cam

    with getattr(pytorch_grad_cam, THEIRS[method])(both.net, layers) as cam:
        return cam(both.planes, targets, **options)


def louder(label):
    """Returns a target a thousand times the logit.

    What pytorch-grad-cam adds to denominators is then small beside the gradients.
    """
    return lambda output: 1000 * output[label]


def our_louder(outputs):
    return 1000 * jnp.take_along_axis(outputs, TARGETS[:, None], axis=1)[:, 0]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, method) for name in ("resnet18", "vgg11") for method in THEIRS),
        # Their default layers alone, and that by hand: they compile for a minute.
        *(
            pytest.param(name, "grad_cam", marks=pytest.mark.parity_full)
            for name in ("densenet121", "mobilenet_v2")
        ),
    ],
)
def test_maps_are_those_of_pytorch_grad_cam(made, name, method, torch, monkeypatch):
    """With the default layer of each family. Theirs end in float32.

    DenseNet's last ReLU works in place, on what pytorch-grad-cam has just kept as the
    output of the norm before it: out of place it is what the norm returned.
    """
    relu = torch.relu
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: relu(x))
    both = made(name)
    _, _, _, path = MODELS[name]
    assert interpret.default_layer(both.model, both.variables, both.images) == path
    expected = cam_of(both, method, [both.layer], [louder(k) for k in TARGETS])
    if method == "eigen_cam":  # of which only the axis is given, not its direction
        expected = turned(both, expected)
    found = interpret.class_activation_map(
        both.model, both.variables, jnp.asarray(both.images), our_louder, method=method
    )
    assert np.asarray(found).max() == 1
    assert_close(found, expected, 1e-4)


def turned(both, expected):
    """Returns their map of the axis in the direction of its larger side."""
    held = []
    hook = both.layer.register_forward_hook(lambda _, __, out: held.append(out))
    with both.torch.no_grad():
        both.net(both.planes)
    hook.remove()
    import cv2

    maps = []
    for each in held[0].numpy():
        flat = each.reshape(len(each), -1).T
        flat = flat - flat.mean(axis=0)
        along = flat @ np.linalg.svd(flat)[2][0]
        along = along if along.max() > -along.min() else -along
        along = np.maximum(along, 0).reshape(each.shape[1:])
        along = (along - along.min()) / np.ptp(along)
        along = cv2.resize(along, expected.shape[1:])
        maps.append((along - along.min()) / np.ptp(along))
    # Where their direction is the larger side's the two are one.
    for theirs, mine in zip(expected, maps, strict=True):
        if np.abs(theirs - mine).max() < 1e-4:
            break
    return np.stack(maps)


def test_several_layers_are_averaged_as_theirs(made):
    both = made("resnet18")
    layers = [both.net.layer3[-1], both.net.layer2[-1]]
    expected = cam_of(both, "grad_cam", layers, [louder(k) for k in TARGETS])
    options = {"layers": ["stage3_block2", "stage2_block2"]}
    found = both.ours(
        lambda m, v, x, t: interpret.grad_cam(m, v, x, our_louder, **options)
    )
    assert_close(found, expected, 1e-4)


@pytest.mark.parity_full
def test_smoothing_over_views_is_theirs(made):
    pytest.importorskip("ttach")
    both = made("resnet18")
    targets = [louder(k) for k in TARGETS]
    layers = [both.net.layer3[-1]]
    expected = cam_of(both, "grad_cam", layers, targets, aug_smooth=True)
    options = {"layers": "stage3_block2", "aug_smooth": True}
    found = both.ours(
        lambda m, v, x, t: interpret.grad_cam(m, v, x, our_louder, **options)
    )
    assert_close(found, expected, 1e-4)


def test_the_published_resnet20_shows_the_same(torch, captum):
    """On three test images of CIFAR-10, the classes it names itself."""
    if "JAXCNN_TEST_DATA" not in os.environ:
        pytest.skip("JAXCNN_TEST_DATA is not set")
    folder = Path(os.environ["JAXCNN_TEST_DATA"])
    file = folder / "weights" / "resnet20-12fca82f.th"
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    net = resnet20(torch)
    net.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    from jaxcnn.data import load_source

    test = load_source("cifar10", "test[:3]", data_dir=folder / "tfds")
    config = jaxcnn.pretrained_config("resnet20_cifar", "akamaster:cifar10")
    images = np.asarray(jaxcnn.make_preprocess(config)(test.images), np.float64)
    both = Both(torch, net, "resnet20_cifar", net.layer3[-1], images)
    top = net(both.planes).argmax(1)
    classes = [int(k) for k in top]
    args = (both.model, both.variables, jnp.asarray(images))
    expected = captum.Saliency(net).attribute(both.planes.clone(), target=top)
    assert_close(interpret.saliency(*args), channels_last(expected), 1e-9)
    expected = captum.GuidedBackprop(net).attribute(both.planes.clone(), target=top)
    found = interpret.guided_backpropagation(*args)
    assert_close(found, channels_last(expected), 1e-9)
    expected = cam_of(both, "grad_cam", [both.layer], [louder(k) for k in classes])
    found = interpret.grad_cam(*args, lambda out: 1000 * out.max(axis=1))
    assert_close(found, expected, 1e-4)
    assert interpret.default_layer(*args) == "stage3_block3"


def resnet20(torch):
    """Returns the ResNet-20 whose weights are published, every ReLU a module."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs, features, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(features)
            self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(features)
            self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
            self.added = (features - inputs) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
            if self.added:
                side = self.added
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
            return self.relu2(x + y)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1, self.relu = nn.BatchNorm2d(16), nn.ReLU()
            widths = (16, 16, 32, 64)
            for k in (1, 2, 3):
                blocks = [Block(widths[k - 1], widths[k], 2 if k > 1 else 1)]
                blocks += [Block(widths[k], widths[k], 1) for _ in range(2)]
                setattr(self, f"layer{k}", nn.Sequential(*blocks))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.relu(self.bn1(self.conv1(x)))
            x = self.layer3(self.layer2(self.layer1(x)))
            return self.linear(x.mean((2, 3)))

    return Net().eval()
