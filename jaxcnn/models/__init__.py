"""One family a file; importing this package registers the models by name."""

from jaxcnn.models.cnn import Cnn, cnn
from jaxcnn.models.inception import InceptionSmall, inception_small
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

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "Cnn",
    "InceptionSmall",
    "LeNet",
    "LeNet5",
    "Mlp",
    "ResNet",
    "cnn",
    "inception_small",
    "lenet",
    "lenet5",
    "mlp",
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
]
