"""Data: sources in memory, splits, batches that depend on (seed, k) alone."""

from jaxcnn.data.arrays import from_arrays
from jaxcnn.data.cache import cache_folder
from jaxcnn.data.crops import RandomResizedCrop, ResizeCrop, Stretch, make_crops
from jaxcnn.data.decoding import apply_window, edge_strength
from jaxcnn.data.every_split import load_splits
from jaxcnn.data.finding import find_examples
from jaxcnn.data.folds import Fold, stratified_folds
from jaxcnn.data.groups import grouped_choice, grouped_folds
from jaxcnn.data.hashes import near_pairs, perceptual_hash, pixel_digest
from jaxcnn.data.inspection import Inspection, inspect
from jaxcnn.data.lazy import LazySource
from jaxcnn.data.loading import load, load_source
from jaxcnn.data.noise import noisy
from jaxcnn.data.options import FileOptions
from jaxcnn.data.overlap import OverlappingPairs
from jaxcnn.data.pipeline import EvalData, TrainData
from jaxcnn.data.prefetch import prefetch
from jaxcnn.data.resident import ResidentData
from jaxcnn.data.samples import class_samples
from jaxcnn.data.source import Source
from jaxcnn.data.splits import carve_validation
from jaxcnn.data.targets import crop_boxes, crop_mask
from jaxcnn.data.workers import WorkerData

__all__ = [
    "EvalData",
    "FileOptions",
    "Fold",
    "Inspection",
    "LazySource",
    "OverlappingPairs",
    "RandomResizedCrop",
    "ResidentData",
    "ResizeCrop",
    "Source",
    "Stretch",
    "TrainData",
    "WorkerData",
    "apply_window",
    "cache_folder",
    "carve_validation",
    "class_samples",
    "crop_boxes",
    "crop_mask",
    "edge_strength",
    "find_examples",
    "from_arrays",
    "grouped_choice",
    "grouped_folds",
    "inspect",
    "load",
    "load_source",
    "load_splits",
    "make_crops",
    "near_pairs",
    "noisy",
    "perceptual_hash",
    "pixel_digest",
    "prefetch",
    "stratified_folds",
]
