"""LeNet on the handwritten digits of scikit-learn: the demo, under a minute on a CPU.

    make demo
    python experiments/digits_lenet.py --run runs/digits

The data are 1,797 scans of 8x8 pixels (UCI, Alpaydin and Kaynak 1998), enlarged to
28x28; they are not MNIST. A fifth is held out for the test and a tenth of the rest for
validation. Expected: 98.8 % of the test digits (mean of 3 seeds; see
experiments/README.md).
"""

from jaxcnn.experiment import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    OptimizerConfig,
    main,
)


def get_config() -> ExperimentConfig:
    """Returns the configuration of the demo."""
    return ExperimentConfig(
        name="digits_lenet",
        model=ModelConfig("lenet"),
        data=DataConfig(
            "digits",
            validation=0.1,
            batch_size=64,
            augment=("random_shift(max_pixels=2)",),
        ),
        optimizer=OptimizerConfig("adam", 3e-3, schedule="cosine", warmup_epochs=1),
        epochs=40,
        eval_every=100,
        log_every=20,
    )


def tell(directory: str) -> None:
    """Prints what lies in the run folder and what to try next."""
    print(f"""
The digits are 8x8 scans from scikit-learn, enlarged to 28x28 (not MNIST).
Look at {directory}/curves.png       how the learning went
        {directory}/predictions.png  test digits, what the net says and how sure it is

Try next:
  .venv/bin/python -m jaxcnn evaluate {directory} --split validation
  .venv/bin/python -m jaxcnn summary lenet
  .venv/bin/python experiments/mnist_lenet.py --help""")


if __name__ == "__main__":
    main(get_config, description=__doc__, after=tell)
