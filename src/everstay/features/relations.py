"""Declarations: ratings, messages and their response, and the user compared with all others."""

from collections.abc import Iterator

import polars as pl

from everstay.features.feature import Feature, divide, in_window, ratio
from everstay.features.ledger import MONEY
from everstay.features.measured_sums import ANSWER_DAYS, LOW_RATING
from everstay.features.population import MARKET_DAYS, STANDING_DAYS, STANDINGS


def ratings(days: int) -> Iterator[Feature]:
    """How satisfied the user is."""
    rated, stars, low = (in_window(name, days) for name in ("rated", "stars", "low_rated"))
    meaning = "mean rating; null without one"
    yield Feature(f"rating_mean_{days}d", "stars", days, meaning, ratio(stars, rated * MONEY))
    meaning = f"ratings of {LOW_RATING} or less; null without one"
    yield Feature(f"low_rating_share_{days}d", "share", days, meaning, ratio(low, rated))


def rating_trend(days: int) -> Feature:
    """Mean rating in a window compared with that in the one before."""
    stars, rated = in_window("stars", days), in_window("rated", days)
    before = [in_window(name, 2 * days) - in_window(name, days) for name in ("stars", "rated")]
    value = divide(ratio(stars, rated) - ratio(before[0], before[1]), MONEY)
    meaning = "mean rating in the window - in the one before; null without one in each"
    return Feature(f"rating_trend_{days}d", "stars more", 2 * days, meaning, value)


def messages(days: int) -> Iterator[Feature]:
    """Exposure to campaigns, and response."""
    sent, purchases = in_window("messages_sent", days), in_window("purchases", days)
    meaning = "different campaigns of messages sent"
    yield Feature(f"campaigns_{days}d", "campaigns", days, meaning, in_window("campaigns", days))
    meaning = "messages opened / messages sent; above 1 when one is opened twice; null without one sent"
    yield Feature(f"open_ratio_{days}d", "ratio", days, meaning, ratio(in_window("messages_opened", days), sent))
    meaning = f"messages sent that a purchase followed within {ANSWER_DAYS} days, as known; null without one sent"
    response = ratio(in_window("answered_messages", days), sent)
    yield Feature(f"message_response_share_{days}d", "share", days, meaning, response)
    meaning = "purchase lines that name a campaign; null without a purchase"
    share = ratio(in_window("campaign_purchases", days), purchases)
    yield Feature(f"campaign_purchase_share_{days}d", "share", days, meaning, share)


def standing() -> Iterator[Feature]:
    """The user among all others, as of the same moment."""
    words = {"recency": "days since the last order, fewer is better", "frequency": "orders", "monetary": "spend"}
    scores = [in_window(f"{name}_score", STANDING_DAYS) for name in STANDINGS]
    for name, score in zip(STANDINGS, scores, strict=True):
        meaning = f"fifth among users with an order in the window, 1 to 5, by {words[name]}; null without an order"
        yield Feature(f"{name}_score_{STANDING_DAYS}d", "score", STANDING_DAYS, meaning, score)
    total = scores[0] + scores[1] + scores[2]
    meaning = "recency_score + frequency_score + monetary_score, 3 to 15; null without an order"
    yield Feature(f"rfm_score_{STANDING_DAYS}d", "points", STANDING_DAYS, meaning, total)
    popularity, lines, market = (
        in_window(name, MARKET_DAYS).cast(pl.Float64) for name in ("item_popularity", "item_lines", "market_lines")
    )
    meaning = "mean share that the items bought have of all users' purchase lines; null without one"
    value = ratio(popularity, lines * market)
    yield Feature(f"item_popularity_{MARKET_DAYS}d", "share", MARKET_DAYS, meaning, value)
    worth, usual = in_window("worth", MARKET_DAYS), in_window("usual_worth", MARKET_DAYS)
    meaning = (
        "worth before discount of what was bought / the same pieces at their categories' mean prices; null without"
    )
    yield Feature(f"price_level_{MARKET_DAYS}d", "ratio", MARKET_DAYS, meaning, ratio(worth, usual))
