"""What learning curves can say, and what to do then: data, one table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Advice(NamedTuple):
    """Something to try.

    Attributes:
        what: In words.
        how: The flag or the command of this library that does it, with an example.
    """

    what: str
    how: str


#: Every case, with what the curves show.
CASES: Mapping[str, str] = MappingProxyType(
    {
        "underfitting_flat": "underfitting, and the curves are flat",
        "underfitting_improving": "underfitting, and still improving",
        "overfitting": "overfitting",
        "good_fit": "a good fit",
        "train_too_small": "the training set is too small for its task",
        "validation_too_small": "the validation set is too small: its curve is noise",
        "validation_easier": "the validation set is easier than the training set",
        "diverging": "diverging, or the learning rate is too high",
        "not_clear": "not clear",
    }
)

_CROSS_VALIDATION = Advice(
    "use every example for both, in turn: cross-validation",
    "jaxcnn cross-validate --data.folds 5",
)
_AUGMENT = Advice("augment the images", "--data.augment default")
_RANGE = Advice("look for a rate that fits", "jaxcnn lr-range --picture lr.png")
_STOP_EARLY = Advice("stop early", "--patience 5")

#: What to do in each case, the first first: as the courses give it.
ADVICE: Mapping[str, tuple[Advice, ...]] = MappingProxyType(
    {
        "underfitting_flat": (
            Advice(
                "more capacity: wider or deeper, or another model",
                """--model.args '{"features": [32, 64, 128]}'""",
            ),
            Advice(
                "less regularisation: dropout, penalties, decay, augmentation",
                "--penalty.l2 0 --optimizer.weight-decay 0 --label-smoothing 0",
            ),
            Advice(
                "more data or features: larger images, more channels",
                "--data.image-size 128 --data.edges",
            ),
            Advice("see whether it fits a single batch", "--overfit-batches 1"),
            Advice(
                "a rate at which nothing moves looks the same",
                "jaxcnn lr-range --picture lr.png",
            ),
        ),
        "underfitting_improving": (
            Advice(
                "more epochs, with early stopping for their end",
                "--epochs 50 --patience 5",
            ),
            Advice("a higher rate", "jaxcnn lr-range, then --optimizer.learning-rate"),
            Advice("a schedule with it", "--optimizer.schedule one_cycle"),
        ),
        "overfitting": (
            _STOP_EARLY,
            Advice(
                "a lower rate, or one that falls when validation stands still",
                "--optimizer.learning-rate 0.001 --optimizer.schedule plateau",
            ),
            Advice(
                "fewer or smaller layers", """--model.args '{"features": [8, 16]}'"""
            ),
            Advice(
                "weight decay",
                "--optimizer adamw --optimizer.weight-decay 0.05, or --penalty.l2 1e-4",
            ),
            Advice("dropout", """--model.args '{"dropout": 0.5}'"""),
            _AUGMENT,
        ),
        "good_fit": (
            Advice("measure it once on the test part", "jaxcnn evaluate RUN --report"),
            Advice("see how much chance is in it", "jaxcnn cross-validate"),
        ),
        "train_too_small": (
            Advice("more data", "--data.split train, with a smaller --data.validation"),
            _AUGMENT,
            Advice(
                "draw the parts at random, rare classes more often",
                "--data.split-seed 1 --data.sampling balanced",
            ),
            _CROSS_VALIDATION,
            Advice(
                "start from trained weights",
                "jaxcnn finetune FOLDER --model NAME --weights WEIGHTS --similar yes",
            ),
        ),
        "validation_too_small": (
            Advice("set more aside", "--data.validation 0.3"),
            _CROSS_VALIDATION,
            Advice(
                "if it is large already: average the weights, or lower the rate",
                "--ema 0.999, --optimizer.learning-rate",
            ),
        ),
        "validation_easier": (
            Advice("look for duplicates and leaks", "jaxcnn data FOLDER_OR_NAME"),
            Advice(
                "keep what belongs together in one part",
                """--data.group "patient([0-9]+)\"""",
            ),
            Advice(
                "look at how the parts were sampled, and for wrong training labels",
                "jaxcnn evaluate RUN --split train --html",
            ),
            Advice(
                "leave dropout and augmentation out once, to see what they make of it",
                """--model.args '{"dropout": 0}'""",
            ),
        ),
        "diverging": (
            Advice("a lower rate", "--optimizer.learning-rate 0.001"),
            _RANGE,
            Advice("warm up", '--optimizer.warmup "5 epochs"'),
            Advice("clip the gradient", "--optimizer.clip-norm 1"),
            Advice("name the layer in which it begins", "--debug-nans"),
        ),
        "not_clear": (
            Advice("go on, for more of the curves", "--epochs 30"),
            Advice("validate more often", "--eval-every 50"),
            Advice("repeat it with other seeds", "--seed 1"),
        ),
    }
)
