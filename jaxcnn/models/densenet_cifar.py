"""The densely connected networks for 32x32 images, by depth and growth rate."""

from typing import Any

from jaxcnn.models.densenet import DenseNet
from jaxcnn.registry import register_model


@register_model
def densenet40_cifar(**kwargs: Any) -> DenseNet:
    """DenseNet-40 for CIFAR (k = 12), 1,019,722 parameters, 264.81 MMACs at 32.

    The paper's plain one: no bottlenecks, no compression, 16 channels first.

    References:
        Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, table 2,
        https://arxiv.org/abs/1608.06993.
    """
    kwargs.setdefault("num_classes", 10)
    return DenseNet(
        block_sizes=(12, 12, 12),
        growth_rate=12,
        stem_features=16,
        stem="cifar",
        bottleneck=0,
        compression=1.0,
        **kwargs,
    )


@register_model
def densenet_bc_40_cifar(**kwargs: Any) -> DenseNet:
    """DenseNet-BC-40 for CIFAR (k = 12), 176,122 parameters, 72.37 MMACs at 32.

    References:
        Huang et al., CVPR 2017, figure 4, https://arxiv.org/abs/1608.06993.
    """
    return _bottlenecked(6, 12, **kwargs)


@register_model
def densenet_bc_100_cifar(**kwargs: Any) -> DenseNet:
    """DenseNet-BC-100 for CIFAR (k = 12), 769,162 parameters, 287.93 MMACs at 32.

    References:
        Huang et al., CVPR 2017, table 2, https://arxiv.org/abs/1608.06993.
    """
    return _bottlenecked(16, 12, **kwargs)


@register_model
def densenet_bc_190_cifar(**kwargs: Any) -> DenseNet:
    """DenseNet-BC-190 for CIFAR (k = 40), 25,624,430 parameters, 9.302 GMACs at 32.

    References:
        Huang et al., CVPR 2017, table 2, https://arxiv.org/abs/1608.06993.
    """
    return _bottlenecked(31, 40, **kwargs)


def _bottlenecked(layers: int, growth_rate: int, **kwargs: Any) -> DenseNet:
    """Returns DenseNet-BC of 6 `layers` + 4 layers: 2k channels first (section 3)."""
    kwargs.setdefault("num_classes", 10)
    return DenseNet(
        block_sizes=(layers,) * 3,
        growth_rate=growth_rate,
        stem_features=2 * growth_rate,
        stem="cifar",
        **kwargs,
    )
