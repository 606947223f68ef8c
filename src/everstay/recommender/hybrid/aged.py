"""Purchases from old to new, so that a time window is a slice."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from everstay.recommender.histories import FloatArray, IntArray


@dataclass(frozen=True)
class Aged:
    """Purchases from old to new: items, days before the as-of, values; each (purchases,)."""

    item: IntArray
    days_ago: FloatArray
    value: FloatArray

    @classmethod
    def of(cls, item: IntArray, days_ago: FloatArray, value: FloatArray | None = None) -> Self:
        """Sort them; without values each counts one."""
        order = np.argsort(-days_ago, kind="stable")
        return cls(item[order], days_ago[order], np.ones(len(order)) if value is None else value[order])

    def count(self, items: int, newer_limit: float, older_limit: float = np.inf) -> IntArray:
        """Purchases of each item more than `newer_limit` and at most `older_limit` days ago."""
        return np.bincount(self.item[self._slice(newer_limit, older_limit)], minlength=items)

    def add(self, items: int, newer_limit: float, older_limit: float = np.inf) -> FloatArray:
        """Sum of their values."""
        part = self._slice(newer_limit, older_limit)
        return np.bincount(self.item[part], weights=self.value[part], minlength=items).astype(np.float64)

    def _slice(self, newer_limit: float, older_limit: float) -> slice:
        first, end = np.searchsorted(-self.days_ago, [-older_limit, -newer_limit], side="left")
        return slice(int(first), int(end))
