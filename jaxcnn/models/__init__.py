"""One family a file; importing this package registers the models by name."""

from jaxcnn.models import keys
from jaxcnn.models.alexnet import AlexNet, alexnet
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
from jaxcnn.models.cnn import Cnn, cnn, cnn1d, cnn3d
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
from jaxcnn.models.googlenet import GoogLeNet, googlenet
from jaxcnn.models.inception import InceptionSmall, inception_small
from jaxcnn.models.inception_resnet import InceptionResNetV2, inception_resnet_v2
from jaxcnn.models.inception_v3 import InceptionV3, inception_v3
from jaxcnn.models.inception_v4 import InceptionV4, inception_v4
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
from jaxcnn.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from jaxcnn.models.summary import Summary, summarize
from jaxcnn.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from jaxcnn.models.xception import Xception, xception

__all__ = [
    "VGG",
    "AlexNet",
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
    "GoogLeNet",
    "InceptionResNetV2",
    "InceptionSmall",
    "InceptionV3",
    "InceptionV4",
    "KeyMap",
    "LeNet",
    "LeNet5",
    "Mlp",
    "MlpAutoencoder",
    "PreActBasicBlock",
    "PreActBottleneck",
    "ResNet",
    "ResNetV2",
    "SqueezeNet",
    "Summary",
    "Xception",
    "alexnet",
    "capture",
    "cnn",
    "cnn1d",
    "cnn3d",
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
    "googlenet",
    "inception_resnet_v2",
    "inception_small",
    "inception_v3",
    "inception_v4",
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
    "squeezenet1_0",
    "squeezenet1_1",
    "summarize",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet28_10",
    "wide_resnet50_2",
    "xception",
]
