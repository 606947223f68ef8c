"""Give the two models of a candidate an answer for users of whom no purchase is known."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from everstay.recommender.choose import GRIDS, choose_config
from everstay.recommender.cold_users import with_segments
from everstay.recommender.fit import Fitted
from everstay.recommender.model import ListModel
from everstay.recommender.rows import BasketRows
from everstay.recommender.segment_popularity import SegmentPopularityRanker
from everstay.settings import Settings


def answer_cold_users(fitted: Fitted, rows: BasketRows, settings: Settings) -> Fitted:
    """Let both models give users of whom no purchase is known what is popular in their segment.

    How much a segment weighs is chosen by the validation's baskets of all users, as if nothing were known of them but
    their segment. Does nothing where the settings name no attribute, or the model goes by segments for everybody.
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
