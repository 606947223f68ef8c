"""The store twin's catalogue: categories, popularity, prices, quality, and which item follows which.

Items of a category stand next to each other in a ring. After buying an item, the next ones in the ring are likely to
be bought next: this is the structure a sequence model can find.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from everstay import tables as t
from everstay.settings import StoreTwinSource
from everstay.sources.store_twin.random import FloatArray, IntArray, Stream, generator

CATEGORIES = {
    "grocery": ("coffee", "pasta", "chocolate"),
    "beauty": ("shampoo", "lipstick", "lotion"),
    "home": ("candle", "towel", "lamp"),
    "garden": ("seed", "planter", "hose"),
    "sports": ("shoe", "ball", "bottle"),
    "toys": ("puzzle", "doll", "car"),
    "pets": ("kibble", "leash", "bed"),
    "office": ("pen", "notebook", "folder"),
}
STEP_SHARES = (0.6, 0.3, 0.1)
"""Given that an item follows from the last one: shares of 1, 2 and 3 steps ahead in the ring."""

_BRANDS = ("Alder", "Birch", "Cedar", "Dune", "Ember", "Fjord")
_LINES = ("Classic", "Pure", "Nova", "Prime", "Daily", "Studio")
_POPULARITY_EXPONENT = 0.8


@dataclass(frozen=True)
class Catalogue:
    """The items, in order of category. Shapes: (items,) unless said otherwise.

    Attributes:
        category: index into the categories.
        first: (categories,) first item of each category.
        size: (categories,) items in each category.
        popularity: share of an item among fresh choices within its category; sums to 1 per category.
        price: of one piece.
        quality: added to every rating of the item.
        brand: index into the brands.
        subcategory: number within the category.
    """

    category: IntArray
    first: IntArray
    size: IntArray
    popularity: FloatArray
    price: FloatArray
    quality: FloatArray
    brand: IntArray
    subcategory: IntArray

    def choose(self, category: IntArray, uniform: FloatArray) -> IntArray:
        """Items drawn by popularity within `category`, one per uniform number in [0, 1)."""
        item = np.searchsorted(np.cumsum(self.popularity), category + uniform, side="right")
        first = self.first[category]
        return np.clip(item, first, first + self.size[category] - 1).astype(np.int64)

    def step(self, item: IntArray, steps: IntArray | int) -> IntArray:
        """The items `steps` ahead in the ring of their category."""
        category = self.category[item]
        first = self.first[category]
        return first + (item - first + steps) % self.size[category]

    def subcategory_names(self) -> pl.Series:
        """(items,) names of the subcategories."""
        names = [name for subcategories in CATEGORIES.values() for name in subcategories]
        return pl.Series(names).gather(self.category * 3 + self.subcategory)

    def frame(self) -> pl.DataFrame:
        """The table of items."""
        number = np.arange(len(self.category))
        brand = pl.Series(_BRANDS).gather(self.brand)
        subcategory = self.subcategory_names()
        line = pl.Series(_LINES).gather(number % len(_LINES))
        title = brand + " " + line + " " + subcategory + " " + pl.Series(number).cast(pl.String)
        columns = {
            t.ITEM_ID: item_ids(len(number)),
            t.CATEGORY: pl.Series(list(CATEGORIES)).gather(self.category),
            t.SUBCATEGORY: subcategory,
            t.BRAND: brand,
            t.PRICE: self.price,
            t.TITLE: title,
            t.DESCRIPTION: "A " + subcategory + " by " + brand + ".",
        }
        return t.ITEMS.conform(pl.DataFrame(columns))


def item_ids(count: int) -> pl.Series:
    """The ids of the first `count` items.

    >>> item_ids(2).to_list()
    ['i00000', 'i00001']
    """
    return "i" + pl.Series(np.arange(count)).cast(pl.String).str.zfill(5)


def draw_catalogue(settings: StoreTwinSource) -> Catalogue:
    """The shop's items, the same for every block of users."""
    rng = generator(settings, Stream.CATALOGUE)
    count = settings.items
    categories = min(len(CATEGORIES), count)
    category = np.arange(count) * categories // count
    size = np.bincount(category)
    first = np.cumsum(size) - size
    weight = np.argsort(np.argsort(rng.random(count) + category)) - first[category] + 1.0
    weight = weight**-_POPULARITY_EXPONENT
    return Catalogue(
        category=category,
        first=first,
        size=size,
        popularity=weight / np.bincount(category, weight)[category],
        price=rng.lognormal(2.3, 0.6, count).round(2),
        quality=rng.normal(0, 0.5, count),
        brand=rng.integers(len(_BRANDS), size=count),
        subcategory=rng.integers(3, size=count),
    )
