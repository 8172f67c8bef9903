"""From a configuration to the examples of a split."""

from typing import Any

from jaxcnn.data import FileOptions, LazySource, Source, load_source, make_crops
from jaxcnn.experiment.config import DataConfig, ExperimentConfig

#: What kind of model a task is for.
KINDS = {
    "classification": "classifier",
    "capsules": "classifier",
    "reconstruction": "autoencoder",
}


def load_data(
    config: ExperimentConfig,
    split: str,
    *,
    own: bool = False,
    training: bool | None = None,
) -> Source | LazySource:
    """Returns the examples of a split as the configuration wants them.

    Args:
        config: Of the run.
        split: The split.
        own: Whether `"validation"` is the dataset's split of that name, also where the
            run sets a part of train apart under it.
        training: Whether batches of training or of evaluation are made of them, which
            says what a cache on disk keeps; without it, None is used.

    Raises:
        ValueError: if there is no such split, or it has no labels to classify by.
        OSError: if the data are not there.
    """
    data = config.data
    options: dict[str, Any] = {}
    if data.image_size is not None:
        options["image_size"] = (data.image_size, data.image_size)
        options["crops"] = make_crops(
            options["image_size"],
            resize=data.resize,
            random=data.random_crop,
            area=data.crop_area,
            aspect=data.crop_aspect,
            flip=data.crop_flip,
            stretch=data.stretch,
        )
    # Set apart by one seed for all runs: seeds are compared on the same examples.
    source = load_source(
        data.name,
        split,
        data_dir=data.data_dir,
        validation=0 if own else data.held_out,
        decode=data.decode,
        on_broken=data.on_broken,
        files=file_options(data),
        **options,
    )
    lazy = isinstance(source, LazySource)
    # The labels themselves may cost a pass over a dataset that is read lazily.
    labelled = source.labelled if lazy else source.labels is not None
    if KINDS[config.task] == "classifier" and not labelled:
        raise ValueError(f"{data.name!r} has no labels to classify by.")
    if lazy and data.disk_cache and training is not None:
        source = source.cached(training=training, size=data.cache_size)
    return source


def file_options(data: DataConfig) -> FileOptions:
    """Returns how files become examples."""
    return FileOptions(
        mode=data.mode,
        stack=data.stack,
        window=data.window,
        edges=data.edges,
        group=data.group,
        columns=data.columns,
        test=data.test_share,
        split_seed=data.split_seed,
        mask_values=data.mask_values,
    )
