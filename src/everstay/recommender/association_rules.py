"""Association rules ("who buys this also buys that") from orders with both items (Agrawal et al., SIGMOD 1993)."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from scipy import sparse

from everstay import tables as t
from everstay.recommender.baselines import popularity
from everstay.recommender.config import AssociationRulesConfig
from everstay.recommender.histories import Histories, IntArray, spread
from everstay.recommender.model import Scores
from everstay.recommender.reasons import POPULAR, first_known
from everstay.recommender.vocabulary import Vocabulary

_ITEMS_AT_ONCE = 2_048
_PRIOR_ORDERS = 10.0  # without the second item, so that rare first items do not yield confident rules
_MOST_RULES = 50  # per first item
_FILL = 1e-6  # popularity only ranks items that no rule recommends


@dataclass(frozen=True)
class AssociationRulesRanker:
    """Scores an item by the most confident rule that fires on the user's last orders.

    Attributes:
        config: of the rules.
        share: (V,) popularity.
        rules: (V, V) confidence of row -> column.
        item_ids: shop ids, for reasons.
    """

    config: AssociationRulesConfig
    share: Scores
    rules: sparse.csr_array
    item_ids: pl.Series

    @classmethod
    def build(cls, vocabulary: Vocabulary, config: AssociationRulesConfig, rules: sparse.csr_array) -> Self:
        """Combine the rules with the vocabulary's popularity and item ids."""
        share = popularity(vocabulary, config.window_days)
        return cls(config, share, rules, vocabulary.items[t.ITEM_ID])

    def scores(self, histories: Histories) -> Scores:
        """Confidence of the most confident rule that fires, (n, V)."""
        scores: Scores = np.tile(np.float32(_FILL) * self.share, (histories.user_count, 1))
        user, _, cell = self._fired(histories)
        np.maximum.at(scores, (user, self.rules.indices[cell]), self.rules.data[cell])
        return scores

    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The most confident rule in words, or that the item is popular."""
        owner, source, cell = self._fired(histories)
        ids = self.item_ids.gather(source.astype(np.uint32))
        fired = pl.DataFrame(
            {"user": owner, "item": self.rules.indices[cell].astype(np.int64), "sure": self.rules.data[cell], "id": ids}
        )
        surest = fired.sort("sure", "id", descending=[True, False]).unique(["user", "item"], keep="first")
        pairs = pl.DataFrame({"user": user, "item": item}, schema={"user": pl.Int64, "item": pl.Int64})
        found = pairs.join(surest, on=["user", "item"], how="left", maintain_order="left")
        percent = (pl.col("sure") * 100).round().cast(pl.Int64)
        said = found.select(reason=pl.format("{}% of orders with {} have it", percent, "id"))["reason"]
        return first_known(said, otherwise=POPULAR)

    def _fired(self, histories: Histories) -> tuple[IntArray, IntArray, IntArray]:
        """User, first item and stored cell of every rule that fires on the last orders."""
        start = np.maximum(histories.user_start[1:] - self.config.recent_orders, histories.user_start[:-1])
        lines = histories.order_start[histories.user_start[1:]] - histories.order_start[start]
        user, line = spread(histories.order_start[start], lines)
        first = histories.line_item[line]
        begin = self.rules.indptr.astype(np.int64)
        place, cell = spread(begin[first], begin[first + 1] - begin[first])
        return user[place], first[place], cell


def find_rules(histories: Histories, items: int, config: AssociationRulesConfig) -> sparse.csr_array:
    """Most confident rules of each first item among those with enough support and lift, (V, V)."""
    cells = np.unique(histories.line_order * items + histories.line_item)
    orders = len(histories.order_user)
    bought = sparse.csr_array((np.ones(len(cells), np.float32), (cells // items, cells % items)), shape=(orders, items))
    count = np.asarray(bought.sum(axis=0)).ravel()
    columns = bought.tocsc()
    parts = []
    for start in range(0, items, _ITEMS_AT_ONCE):
        together = (columns[:, start : start + _ITEMS_AT_ONCE].T @ bought).tocoo()
        first, second = together.row + start, together.col
        sure = together.data / (count[first] + _PRIOR_ORDERS)
        is_rule = (first != second) & (together.data >= config.min_orders)
        is_rule &= sure > config.min_lift * count[second] / max(orders, 1)
        parts.append((first[is_rule], second[is_rule], sure[is_rule]))
    first, second, sure = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((second, -sure, first))
    rank = np.arange(len(order)) - np.searchsorted(first[order], first[order])
    kept = order[rank < _MOST_RULES]
    return sparse.csr_array((sure[kept].astype(np.float32), (first[kept], second[kept])), shape=(items, items))
