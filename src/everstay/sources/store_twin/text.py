"""What the store twin's users write: short comments and reviews that fit the rating, and search words."""

import polars as pl

from everstay.sources.store_twin.random import IntArray

_COMMENTS = (
    ("Terrible, broke at once.", "Waste of money.", "Asked for my money back."),
    ("Not what I hoped for.", "Rather poor.", "Would not buy it again."),
    ("It is all right.", "Does its job.", "Average for the price."),
    ("Good quality.", "Happy with it.", "Works well."),
    ("Excellent, love it!", "Perfect in every way.", "Best I ever had."),
)
"""By rating, 1 to 5."""

_REASONS = (
    "It arrived late and damaged, and nobody answered my messages.",
    "It looks cheaper than in the picture.",
    "Delivery took the usual time.",
    "It came quickly and looks as described.",
    "It came the next day, beautifully packed, and I have told all my friends.",
)
"""By rating, 1 to 5."""


def comments(rating: IntArray, choice: IntArray) -> pl.Series:
    """One short comment per rating from 1 to 5; `choice` is any number that picks among the wordings."""
    flat = [comment for wordings in _COMMENTS for comment in wordings]
    return pl.Series(flat, dtype=pl.String).gather((rating - 1) * len(_COMMENTS[0]) + choice % len(_COMMENTS[0]))


def reviews(rating: IntArray, choice: IntArray, subcategory: pl.Series) -> pl.Series:
    """One review per rating from 1 to 5, which names the kind of item.

    >>> import numpy as np
    >>> reviews(np.array([5]), np.array([0]), pl.Series(["lamp"]))[0]
    'My new lamp: excellent, love it! It came the next day, beautifully packed, and I have told all my friends.'
    """
    opening = comments(rating, choice)
    opening = opening.str.head(1).str.to_lowercase() + opening.str.slice(1)
    return "My new " + subcategory + ": " + opening + " " + pl.Series(_REASONS, dtype=pl.String).gather(rating - 1)
