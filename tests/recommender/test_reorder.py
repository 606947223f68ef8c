"""Diversity and freshness, against the formula written out."""

from dataclasses import replace

import numpy as np
import pytest

from everstay.recommender.reorder import reorder
from everstay.recommender.rules import ItemRules

CATEGORY = np.array([0, 0, 0, 1, 1, -1])
SUBCATEGORY = np.array([0, 0, 1, 2, 2, -1])
NEWNESS = np.array([0.1, 0.9, 0.2, 1.0, 0.0, 0.5], np.float32)
RULES = ItemRules(np.empty(0, np.int64), np.zeros(6), CATEGORY, SUBCATEGORY, NEWNESS)


def slow_reorder(items: list[int], k: int, rules: ItemRules) -> list[int]:
    def likeness(one: int, other: int) -> float:
        if CATEGORY[one] < 0 or CATEGORY[one] != CATEGORY[other]:
            return 0.0
        return 1.0 if SUBCATEGORY[one] == SUBCATEGORY[other] else 0.5

    chosen: list[int] = []
    for _ in range(k):
        values = {}
        for rank, item in enumerate(items, 1):
            if item >= 0 and item not in chosen:
                worth = (1 - rules.freshness) / np.log2(1 + rank) + rules.freshness * float(rules.newness[item])
                most_like = max((likeness(item, other) for other in chosen), default=0.0)
                values[item] = (1 - rules.diversity) * worth - rules.diversity * most_like
        chosen.append(max(values, key=values.__getitem__) if values else -1)
    return chosen


@pytest.mark.parametrize("diversity", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("freshness", [0.0, 0.3, 1.0])
def test_lists_follow_the_formula(diversity: float, freshness: float):
    generator = np.random.default_rng(3)
    items = np.array([[*generator.permutation(6), -1] for _ in range(20)])
    scores = np.where(items >= 0, -np.arange(7.0), -np.inf).astype(np.float32)
    rules = replace(RULES, diversity=diversity, freshness=freshness)
    chosen, values = reorder(items, scores, 4, rules)
    assert chosen.tolist() == [slow_reorder(row, 4, rules) for row in items.tolist()]
    assert (np.take_along_axis(items, -values.astype(np.int64), axis=1) == chosen).all()


def test_without_weights_the_order_is_the_models():
    items = np.array([[5, 2, 0, -1]])
    chosen, values = reorder(items, np.array([[3, 2, 1, -np.inf]], np.float32), 4, RULES)
    assert chosen.tolist() == [[5, 2, 0, -1]]
    assert values.tolist() == [[3, 2, 1, -np.inf]]
