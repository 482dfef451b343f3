"""What is asked: items, the synthetic benchmark (pocket), public sets (hub)."""

from .items import ITEM_COLUMNS, Item, iter_items, open_image, png_text
from .loading import dataset_lines, dataset_names, load_items

__all__ = [
    "ITEM_COLUMNS",
    "Item",
    "dataset_lines",
    "dataset_names",
    "iter_items",
    "load_items",
    "open_image",
    "png_text",
]
