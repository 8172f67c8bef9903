"""Pictures: grids of images and learning curves. Writes files, knows no model.

Matplotlib is loaded on use, and only its objects are used: no window is opened and no
global figure or setting is changed.
"""

from jaxcnn.plotting.assessment import (
    confusion_heat_map,
    ranking_curves,
    reliability_diagram,
)
from jaxcnn.plotting.convolution import draw_convolution
from jaxcnn.plotting.curves import learning_curves
from jaxcnn.plotting.diagnosis import diagnosed_curves
from jaxcnn.plotting.functions import function_grid
from jaxcnn.plotting.images import comparison_grid, image_grid, prediction_grid
from jaxcnn.plotting.rates import learning_rate_range
from jaxcnn.plotting.statistics import layer_heat_maps

__all__ = [
    "comparison_grid",
    "confusion_heat_map",
    "diagnosed_curves",
    "draw_convolution",
    "function_grid",
    "image_grid",
    "layer_heat_maps",
    "learning_curves",
    "learning_rate_range",
    "prediction_grid",
    "ranking_curves",
    "reliability_diagram",
]
