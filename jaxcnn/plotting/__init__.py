"""Pictures: grids of images and learning curves. Writes files, knows no model.

Matplotlib is loaded on use, and only its objects are used: no window is opened and no
global figure or setting is changed.
"""

from jaxcnn.plotting.assessment import (
    confusion_heat_map,
    ranking_curves,
    reliability_diagram,
)
from jaxcnn.plotting.attribution import attribution_sheet, map_over_image
from jaxcnn.plotting.convolution import draw_convolution
from jaxcnn.plotting.curves import learning_curves
from jaxcnn.plotting.diagnosis import diagnosed_curves
from jaxcnn.plotting.features import (
    feature_map_grid,
    mosaic,
    receptive_field_picture,
    scatter_map,
)
from jaxcnn.plotting.functions import function_grid
from jaxcnn.plotting.images import comparison_grid, image_grid, prediction_grid
from jaxcnn.plotting.rates import learning_rate_range
from jaxcnn.plotting.statistics import layer_heat_maps
from jaxcnn.plotting.style_transfer import style_curves

__all__ = [
    "attribution_sheet",
    "comparison_grid",
    "confusion_heat_map",
    "diagnosed_curves",
    "draw_convolution",
    "feature_map_grid",
    "function_grid",
    "image_grid",
    "layer_heat_maps",
    "learning_curves",
    "learning_rate_range",
    "map_over_image",
    "mosaic",
    "prediction_grid",
    "ranking_curves",
    "receptive_field_picture",
    "reliability_diagram",
    "scatter_map",
    "style_curves",
]
