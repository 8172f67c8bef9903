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
)
from jaxcnn.models.resnet_cifar import (
    CifarResNet,
    resnet20_cifar,
    resnet32_cifar,
    resnet44_cifar,
    resnet56_cifar,
    resnet110_cifar,
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
    "Cnn",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
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
    "ResNet",
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
    "xception",
]
