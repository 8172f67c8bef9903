"""One family a file; importing this package registers the models by name."""

from jaxcnn.models import keys
from jaxcnn.models.autoencoder import (
    Autoencoder,
    ConvAutoencoder,
    MlpAutoencoder,
    conv_autoencoder,
    conv_autoencoder_upsample,
    mlp_autoencoder,
)
from jaxcnn.models.autoencoder_denoising import (
    DenoisingAutoencoder,
    denoising_autoencoder,
    denoising_autoencoder_deep,
)
from jaxcnn.models.capsnet import (
    CapsNet,
    CapsuleDecoder,
    capsnet,
    perturb_capsules,
)
from jaxcnn.models.cnn import Cnn, cnn
from jaxcnn.models.features import Feature, capture, feature_info
from jaxcnn.models.inception import InceptionSmall, inception_small
from jaxcnn.models.key_map import KeyMap, key_maps, register_key_map
from jaxcnn.models.lenet import LeNet, LeNet5, lenet, lenet5
from jaxcnn.models.mlp import Mlp, mlp
from jaxcnn.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from jaxcnn.models.resnet_cifar import (
    CifarResNet,
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
)
from jaxcnn.models.summary import Summary, summarize

__all__ = [
    "Autoencoder",
    "BasicBlock",
    "Bottleneck",
    "CapsNet",
    "CapsuleDecoder",
    "CifarResNet",
    "Cnn",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "Feature",
    "InceptionSmall",
    "KeyMap",
    "LeNet",
    "LeNet5",
    "Mlp",
    "MlpAutoencoder",
    "ResNet",
    "Summary",
    "capsnet",
    "capture",
    "cnn",
    "conv_autoencoder",
    "conv_autoencoder_upsample",
    "denoising_autoencoder",
    "denoising_autoencoder_deep",
    "feature_info",
    "inception_small",
    "key_maps",
    "keys",
    "lenet",
    "lenet5",
    "mlp",
    "mlp_autoencoder",
    "perturb_capsules",
    "register_key_map",
    "resnet18",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet34",
    "resnet44_cifar",
    "resnet50",
    "resnet56_cifar",
    "resnet101",
    "resnet110_cifar",
    "resnet152",
    "summarize",
]
