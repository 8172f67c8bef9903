"""Data: sources in memory, splits, batches that depend on (seed, k) alone."""

from jaxcnn.data.arrays import from_arrays
from jaxcnn.data.cache import cache_folder
from jaxcnn.data.crops import RandomResizedCrop, ResizeCrop, Stretch, make_crops
from jaxcnn.data.decoding import apply_window, edge_strength
from jaxcnn.data.folds import Fold, stratified_folds
from jaxcnn.data.groups import grouped_choice, grouped_folds
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.loading import load, load_source
from jaxcnn.data.noise import noisy
from jaxcnn.data.options import FileOptions
from jaxcnn.data.overlap import OverlappingPairs
from jaxcnn.data.pipeline import EvalData, TrainData
from jaxcnn.data.prefetch import prefetch
from jaxcnn.data.source import Source
from jaxcnn.data.splits import carve_validation
from jaxcnn.data.targets import crop_boxes, crop_mask
from jaxcnn.data.workers import WorkerData

__all__ = [
    "EvalData",
    "FileOptions",
    "Fold",
    "LazySource",
    "OverlappingPairs",
    "RandomResizedCrop",
    "ResizeCrop",
    "Source",
    "Stretch",
    "TrainData",
    "WorkerData",
    "apply_window",
    "cache_folder",
    "carve_validation",
    "crop_boxes",
    "crop_mask",
    "edge_strength",
    "from_arrays",
    "grouped_choice",
    "grouped_folds",
    "load",
    "load_source",
    "make_crops",
    "noisy",
    "prefetch",
    "stratified_folds",
]
