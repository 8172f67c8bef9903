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
from jaxcnn.models.efficientnet import (
    EfficientNet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from jaxcnn.models.features import Feature, capture, feature_info
from jaxcnn.models.inception import InceptionSmall, inception_small
from jaxcnn.models.key_map import KeyMap, key_maps, register_key_map
from jaxcnn.models.lenet import LeNet, LeNet5, lenet, lenet5
from jaxcnn.models.mlp import Mlp, mlp
from jaxcnn.models.mobilenet_v1 import (
    MobileNetV1,
    mobilenet_v1,
    mobilenet_v1_0_5,
    mobilenet_v1_0_25,
    mobilenet_v1_0_75,
)
from jaxcnn.models.mobilenet_v2 import MobileNetV2, mobilenet_v2
from jaxcnn.models.mobilenet_v3 import (
    MobileNetV3,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
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
from jaxcnn.models.shufflenet_v1 import (
    ShuffleNetV1,
    shufflenet_v1,
    shufflenet_v1_g1,
    shufflenet_v1_g2,
    shufflenet_v1_g3,
    shufflenet_v1_g4,
    shufflenet_v1_g8,
)
from jaxcnn.models.shufflenet_v2 import (
    ShuffleNetV2,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
)
from jaxcnn.models.summary import Summary, summarize

__all__ = [
    "Autoencoder",
    "BasicBlock",
    "Bottleneck",
    "CifarResNet",
    "Cnn",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "EfficientNet",
    "Feature",
    "InceptionSmall",
    "KeyMap",
    "LeNet",
    "LeNet5",
    "Mlp",
    "MlpAutoencoder",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3",
    "ResNet",
    "ShuffleNetV1",
    "ShuffleNetV2",
    "Summary",
    "capture",
    "cnn",
    "conv_autoencoder",
    "conv_autoencoder_upsample",
    "denoising_autoencoder",
    "denoising_autoencoder_deep",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "feature_info",
    "inception_small",
    "key_maps",
    "keys",
    "lenet",
    "lenet5",
    "mlp",
    "mlp_autoencoder",
    "mobilenet_v1",
    "mobilenet_v1_0_5",
    "mobilenet_v1_0_25",
    "mobilenet_v1_0_75",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
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
    "shufflenet_v1",
    "shufflenet_v1_g1",
    "shufflenet_v1_g2",
    "shufflenet_v1_g3",
    "shufflenet_v1_g4",
    "shufflenet_v1_g8",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "summarize",
]
