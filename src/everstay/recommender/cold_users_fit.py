"""Let both models of a candidate serve users without a known purchase."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from everstay.recommender.choose import GRIDS, choose_config
from everstay.recommender.cold_users import with_segments
from everstay.recommender.fitted import Fitted
from everstay.recommender.model import ListModel
from everstay.recommender.rows import BasketRows
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.settings import Settings


def answer_cold_users(fitted: Fitted, rows: BasketRows, settings: Settings) -> Fitted:
    """Let both models serve users without a known purchase what is popular in their segment.

    The configuration of the segments is chosen on the validation baskets of all users, as if only their segment were
    known. Does nothing if the settings name no attribute, or the model itself already ranks by segment.
    """
    if settings.recommender.segment_by is None or fitted.model.segment_by:
        return fitted
    fit: Callable[..., SegmentPopularityRanker] = SegmentPopularityRanker.fit
    model, early = fitted.model, fitted.early
    chosen, _ = choose_config(
        GRIDS["segment_popularity"],
        lambda config: replace(early, ranker=fit(rows.validation, early.vocabulary, config)),
        rows.validation,
        settings.recommender.list_length,
    )

    def answered(model: ListModel, part: pl.DataFrame) -> ListModel:
        return replace(model, ranker=with_segments(model.ranker, fit(part, model.vocabulary, chosen)))

    return replace(fitted, model=answered(model, rows.test), early=answered(early, rows.validation))
