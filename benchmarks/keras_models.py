"""Models written with Keras layers, layer for layer those of the library.

Keras itself has no LeNet, no ResNet for CIFAR, and a ResNet-50 with the stride on the
first 1x1 convolution and biases before the norms, which is less work and more
parameters. The others are those of `keras.applications`.
"""

from typing import Any


def lenet(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `lenet`."""
    nn = keras.layers
    x = inputs = keras.Input(image)
    for features in (10, 20):
        x = nn.MaxPooling2D(2)(nn.Conv2D(features, 5)(x))
        x = nn.ReLU()(x)
    return keras.Model(inputs, nn.Dense(10)(nn.Flatten()(x)))


def inception_small(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `inception_small`."""
    nn = keras.layers

    def conv(x, features, size):
        return nn.Conv2D(features, size, padding="same")(x)

    x = inputs = keras.Input(image)
    for features in (10, 20):
        x = nn.MaxPooling2D(2)(nn.Conv2D(features, 5)(x))
        x = nn.ReLU()(x)
        pooled = nn.AveragePooling2D(3, 1, padding="same")(x)
        x = nn.Concatenate()(
            [
                conv(x, 16, 1),
                conv(conv(x, 16, 1), 24, 5),
                conv(conv(conv(x, 16, 1), 24, 3), 24, 3),
                conv(pooled, 24, 1),
            ]
        )
    return keras.Model(inputs, nn.Dense(10)(nn.Flatten()(x)))


def conv_autoencoder(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `conv_autoencoder` without its sigmoid."""
    nn = keras.layers
    x = inputs = keras.Input(image)
    for features in (16, 32):
        x = nn.Conv2D(features, 3, 2, padding="same", activation="relu")(x)
    x = nn.Dense(32)(nn.Flatten()(x))
    x = nn.Dense(1568, activation="relu")(x)
    x = nn.Reshape((7, 7, 32))(x)
    for features in (16, 16):
        x = nn.Conv2DTranspose(features, 4, 2, padding="same", activation="relu")(x)
    return keras.Model(inputs, nn.Conv2D(1, 3, padding="same")(x))


def resnet20_cifar(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `resnet20_cifar`: shortcuts of option A."""
    ops = keras.ops
    inputs = keras.Input(image)
    x = _conv_norm(keras, inputs, 16, 3, relu=True)
    for features in [16] * 3 + [32] * 3 + [64] * 3:
        stride = features // x.shape[-1]
        y = _conv_norm(keras, x, features, 3, stride, relu=True)
        y = _conv_norm(keras, y, features, 3)
        if stride > 1:
            extra = features // 4
            x = ops.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(extra, extra)])
        x = keras.layers.ReLU()(x + y)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


def resnet18(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `resnet18`."""

    def block(x, features, stride):
        x = _conv_norm(keras, x, features, 3, stride, relu=True)
        return _conv_norm(keras, x, features, 3)

    return _resnet(keras, image, (2, 2, 2, 2), block, 1)


def resnet50(keras: Any, image: tuple[int, ...]) -> Any:
    """Returns the twin of `jaxcnn`'s `resnet50`: the stride on the 3x3."""

    def block(x, features, stride):
        x = _conv_norm(keras, x, features, 1, relu=True)
        x = _conv_norm(keras, x, features, 3, stride, relu=True)
        return _conv_norm(keras, x, 4 * features, 1)

    return _resnet(keras, image, (3, 4, 6, 3), block, 4)


def _resnet(keras, image, sizes, block, expansion):
    nn = keras.layers
    inputs = keras.Input(image)
    x = _conv_norm(keras, inputs, 64, 7, 2, relu=True)
    x = nn.MaxPooling2D(3, 2)(nn.ZeroPadding2D(1)(x))
    for stage, blocks in enumerate(sizes):
        for number in range(blocks):
            features = 64 * 2**stage
            stride = 2 if stage and not number else 1
            y = block(x, features, stride)
            if x.shape != y.shape:
                x = _conv_norm(keras, x, features * expansion, 1, stride)
            x = nn.ReLU()(x + y)
    x = nn.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, nn.Dense(1000)(x))


def _conv_norm(keras, x, features, size, stride=1, *, relu=False):
    nn = keras.layers
    if size > 1:
        x = nn.ZeroPadding2D(size // 2)(x)
    x = nn.Conv2D(features, size, stride, use_bias=False)(x)
    x = nn.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return nn.ReLU()(x) if relu else x


def make_keras_model(keras: Any, name: str, where: str, image: tuple[int, ...]) -> Any:
    """Returns Keras's model for a row, without a softmax.

    Args:
        keras: The module, on the JAX backend.
        name: The model's name here.
        where: `Row.keras`.
        image: `(height, width, channels)`.
    """
    if where == "here":
        return globals()[name](keras, image)
    make = getattr(keras.applications, where)
    return make(weights=None, input_shape=image, classifier_activation=None)
