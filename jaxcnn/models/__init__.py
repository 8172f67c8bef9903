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
from jaxcnn.models.cnn import Cnn, cnn
from jaxcnn.models.densenet import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from jaxcnn.models.densenet_cifar import (
    densenet40_cifar,
    densenet_bc_40_cifar,
    densenet_bc_100_cifar,
    densenet_bc_190_cifar,
)
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
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
)
from jaxcnn.models.resnet_cifar import (
    CifarResNet,
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
    resnext29_32x4d_cifar,
)
from jaxcnn.models.resnet_v2 import (
    PreActBasicBlock,
    PreActBottleneck,
    ResNetV2,
    resnet18v2,
    resnet34v2,
    resnet50v2,
    resnet101v2,
    resnet152v2,
)
from jaxcnn.models.resnet_v2_cifar import (
    CifarResNetV2,
    preact_resnet20_cifar,
    preact_resnet56_cifar,
    preact_resnet110_cifar,
    preact_resnet164_cifar,
    wide_resnet28_10,
)
from jaxcnn.models.summary import Summary, summarize

__all__ = [
    "Autoencoder",
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "CifarResNetV2",
    "Cnn",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "DenseNet",
    "Feature",
    "InceptionSmall",
    "KeyMap",
    "LeNet",
    "LeNet5",
    "Mlp",
    "MlpAutoencoder",
    "PreActBasicBlock",
    "PreActBottleneck",
    "ResNet",
    "ResNetV2",
    "Summary",
    "capture",
    "cnn",
    "conv_autoencoder",
    "conv_autoencoder_upsample",
    "denoising_autoencoder",
    "denoising_autoencoder_deep",
    "densenet40_cifar",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet_bc_40_cifar",
    "densenet_bc_100_cifar",
    "densenet_bc_190_cifar",
    "feature_info",
    "inception_small",
    "key_maps",
    "keys",
    "lenet",
    "lenet5",
    "mlp",
    "mlp_autoencoder",
    "preact_resnet20_cifar",
    "preact_resnet56_cifar",
    "preact_resnet110_cifar",
    "preact_resnet164_cifar",
    "register_key_map",
    "resnet18",
    "resnet18v2",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet34",
    "resnet34v2",
    "resnet44_cifar",
    "resnet50",
    "resnet50v2",
    "resnet56_cifar",
    "resnet101",
    "resnet101v2",
    "resnet110_cifar",
    "resnet152",
    "resnet152v2",
    "resnext29_32x4d_cifar",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "summarize",
    "wide_resnet28_10",
    "wide_resnet50_2",
]
