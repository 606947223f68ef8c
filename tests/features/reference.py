"""All features of a user in slow, plain Python, one after the other: what the fast ones must equal."""

import math
import statistics
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise

from everstay import tables as t
from tests.strategies import AS_OF, ITEMS

CATEGORY = {item: category for item, category in ITEMS.select(t.ITEM_ID, t.CATEGORY).rows() if category}
BRAND = {item: brand for item, brand in ITEMS.select(t.ITEM_ID, t.BRAND).rows() if brand}
WORDS = {
    "views": t.VIEW,
    "clicks": t.CLICK,
    "searches": t.SEARCH,
    "carts": t.CART,
    "coupons": t.COUPON_REDEEMED,
    "returns": t.RETURN,
    "messages_opened": t.MESSAGE_OPENED,
    "purchases": t.PURCHASE,
    "ratings": t.RATE,
    "reviews": t.REVIEW,
    "messages_sent": t.MESSAGE_SENT,
}
WEEK = timedelta(days=7)
Rows = list[dict]
Values = dict[str, float | None]


def reference(user: str, everyone: Rows) -> Values:
    """All features of one user from the known events of all users."""
    rows = [row for row in everyone if row[t.USER_ID] == user]
    own = [row for row in rows if row[t.EVENT_TYPE] != t.MESSAGE_SENT]
    placed = orders_of(rows)
    days = sorted({moment.date() for moment, _ in placed})
    gaps = [(later - earlier).days for earlier, later in pairwise(days)]
    last_order = [max((moment for moment, _ in placed), default=None)]
    values: Values = {
        "recency_days": since(last_order),
        "tenure_days": since([min(row[t.OCCURRED_AT] for row in rows)]),
        "inactive_days": since([max((row[t.OCCURRED_AT] for row in own), default=None)]),
        "gap_mean_days": statistics.mean(gaps) if gaps else None,
        "gap_median_days": statistics.median(gaps) if gaps else None,
        "gap_std_days": statistics.stdev(gaps) if len(gaps) > 1 else None,
        "gap_last_days": gaps[-1] if gaps else None,
        "gap_max_days": max(gaps, default=None),
    }
    for name in ("mean", "median"):
        gap = values[f"gap_{name}_days"]
        values[f"recency_to_{name}_gap"] = values["recency_days"] / gap if gap else None
    for window in (7, 28, 84, 364):
        values |= window_reference(rows, placed, window)
    for window in (28, 84):
        now, both = (window_reference(rows, placed, size) for size in (window, 2 * window))
        for name in ("orders", "spend"):
            recent, all_ = now[f"{name}_{window}d"], both[f"{name}_{2 * window}d"]
            values[f"{name}_trend_{window}d"] = (2 * recent - all_) / all_ if all_ else None
    habit = [moment for moment, _ in placed if is_inside(moment, 364)]
    values["weekend_share_364d"] = sum(moment.weekday() >= 5 for moment in habit) / len(habit) if habit else None
    values["hour_mean_364d"] = statistics.mean(map(hour, habit)) if habit else None
    for word, kind in WORDS.items():
        moments = [row[t.OCCURRED_AT] for row in rows if row[t.EVENT_TYPE] == kind]
        values[f"{word}_recency_days"] = since([max(moments, default=None)])
    for window in (28, 84):
        values |= funnel(rows, window) | sessions(own, window) | trends(rows, placed, window)
    for window in (84, 364):
        values |= mix(own, placed, window) | buying(rows, placed, window) | messages(rows, window)
    return values | cadence(values, placed, gaps) | standing(user, everyone)


def orders_of(rows: Rows) -> list[tuple[datetime, Rows]]:
    orders = defaultdict(list)
    for row in of_type(rows, t.PURCHASE):
        orders[row[t.ORDER_ID] or row[t.OCCURRED_AT].date()].append(row)
    return [(min(row[t.OCCURRED_AT] for row in order), order) for order in orders.values()]


def window_reference(rows: Rows, placed: list, window: int) -> Values:
    """The features of one window; money is in orders, which lie where their first line is."""
    inside = [row for row in rows if is_inside(row[t.OCCURRED_AT], window)]
    bought = {row[t.ITEM_ID] for row in inside if row[t.EVENT_TYPE] == t.PURCHASE} - {None}
    orders = [order for moment, order in placed if is_inside(moment, window)]
    spend, discount, pieces = (
        sum(row[column] for order in orders for row in order) for column in (t.AMOUNT, t.DISCOUNT, t.QUANTITY)
    )
    values = {
        "orders": len(orders),
        "spend": spend,
        "items": pieces,
        "distinct_items": len(bought),
        "distinct_items_seen": len({row[t.ITEM_ID] for row in inside} - {None}),
        "distinct_categories": len({CATEGORY[item] for item in bought if item in CATEGORY}),
        "active_days": len({row[t.OCCURRED_AT].date() for row in inside if row[t.EVENT_TYPE] != t.MESSAGE_SENT}),
        "discount": discount,
        "discount_share": discount / (spend + discount) if spend + discount else None,
        "basket": spend / len(orders) if orders else None,
    }
    values |= {word: sum(row[t.EVENT_TYPE] == kind for row in inside) for word, kind in WORDS.items()}
    return {f"{name}_{window}d": value for name, value in values.items()}


def is_inside(moment, days: int) -> bool:
    return AS_OF - timedelta(days=days) <= moment < AS_OF


def since(moments: list) -> float | None:
    return None if moments[0] is None else (AS_OF - moments[0]) / timedelta(days=1)


def hour(moment) -> float:
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(hours=1)


def within(rows: Rows, window: int) -> Rows:
    return [row for row in rows if is_inside(row[t.OCCURRED_AT], window)]


def of_type(rows: Rows, *kinds: str) -> Rows:
    return [row for row in rows if row[t.EVENT_TYPE] in kinds]


def items_of(rows: Rows, kind: str) -> set[str]:
    return {row[t.ITEM_ID] for row in of_type(rows, kind)} - {None}


def quotient(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def named(values: Values, window: int) -> Values:
    return {f"{name}_{window}d": value for name, value in values.items()}


def followed(rows: Rows, questions: Rows) -> float | None:
    bought = [row[t.OCCURRED_AT] for row in of_type(rows, t.PURCHASE)]
    waits = [[moment - row[t.OCCURRED_AT] for moment in bought] for row in questions]
    return quotient(sum(any(timedelta(0) < wait <= WEEK for wait in some) for some in waits), len(questions))


def funnel(rows: Rows, window: int) -> Values:
    inside = within(rows, window)
    viewed, carted, bought = (items_of(inside, kind) for kind in (t.VIEW, t.CART, t.PURCHASE))
    values = {
        "view_to_cart": quotient(len(viewed & carted), len(viewed)),
        "cart_to_purchase": quotient(len(carted & bought), len(carted)),
        "view_to_purchase": quotient(len(viewed & bought), len(viewed)),
        "followed_cart_share": followed(rows, of_type(inside, t.CART)),
    }
    return named(values, window)


def sessions(own: Rows, window: int) -> Values:
    by_id, last = defaultdict(list), None
    for row in sorted(own, key=lambda row: row[t.OCCURRED_AT]):
        key = row[t.SESSION_ID]
        if key is None:
            is_new = last is None or row[t.OCCURRED_AT] - last[1] > timedelta(minutes=30)
            last = (len(by_id) if is_new else last[0], row[t.OCCURRED_AT])
            key = last[0]
        by_id[key].append(row)
    all_ = [sorted(row[t.OCCURRED_AT] for row in some) for some in by_id.values()]
    buying = [bool(of_type(some, t.PURCHASE)) for some in by_id.values()]
    chosen = [number for number, moments in enumerate(all_) if is_inside(moments[0], window)]
    minutes = sum((all_[number][-1] - all_[number][0]) / timedelta(minutes=1) for number in chosen)
    values = {
        "sessions": len(chosen),
        "session_depth": quotient(sum(len(all_[number]) for number in chosen), len(chosen)),
        "session_minutes": quotient(minutes, len(chosen)),
        "bounce_share": quotient(sum(len(all_[number]) == 1 for number in chosen), len(chosen)),
        "buying_session_share": quotient(sum(buying[number] for number in chosen), len(chosen)),
    }
    return named(values, window)


def trends(rows: Rows, placed: list, window: int) -> Values:
    def mean_basket(orders: list) -> float | None:
        return quotient(sum(row[t.AMOUNT] for _, order in orders for row in order), len(orders))

    def mean_rating(some: Rows) -> float | None:
        stars = [row[t.RATING] for row in some if row[t.RATING] is not None]
        return statistics.mean(stars) if stars else None

    recent = [order for order in placed if is_inside(order[0], window)]
    before = [order for order in placed if is_inside(order[0], 2 * window) and order not in recent]
    one, other = mean_basket(recent), mean_basket(before)
    inside = within(rows, window)
    stars = mean_rating(inside), mean_rating([row for row in within(rows, 2 * window) if row not in inside])
    values = {
        "basket_trend": None if one is None or other is None else quotient(one - other, one + other),
        "rating_trend": None if None in stars else stars[0] - stars[1],
    }
    return named(values, window)


def spread(things: list) -> tuple[float | None, float | None]:
    """Entropy in nats, and share of the most frequent."""
    counts = Counter(things).values()
    if not counts:
        return None, None
    return -sum(count / len(things) * math.log(count / len(things)) for count in counts), max(counts) / len(things)


def mix(own: Rows, placed: list, window: int) -> Values:
    inside = within(own, window)
    values: Values = {"own_events": len(inside)}
    for word in ("views", "searches", "carts", "purchases"):
        values[f"{word}_share"] = quotient(len(of_type(inside, WORDS[word])), len(inside))
    values["event_type_entropy"] = spread([row[t.EVENT_TYPE] for row in inside])[0]
    for number, part in enumerate(("night", "morning", "afternoon", "evening")):
        values[f"{part}_share"] = quotient(sum(row[t.OCCURRED_AT].hour // 6 == number for row in inside), len(inside))
    weekend = sum(row[t.OCCURRED_AT].weekday() >= 5 for row in inside)
    values["weekend_event_share"] = quotient(weekend, len(inside))
    weekdays = [moment.weekday() for moment, _ in placed if is_inside(moment, window)]
    values["weekday_entropy"], values["weekday_top_share"] = spread(weekdays)
    return named(values, window)


def buying(rows: Rows, placed: list, window: int) -> Values:
    inside = within(rows, window)
    orders = [order for moment, order in placed if is_inside(moment, window)]
    lines = [row for order in orders for row in order]
    pieces, discounted = sum(row[t.QUANTITY] for row in lines), [sum(row[t.DISCOUNT] for row in o) > 0 for o in orders]
    bought, before = items_of(inside, t.PURCHASE), items_of([row for row in rows if row not in inside], t.PURCHASE)
    values = {
        "pieces_per_order": quotient(pieces, len(orders)),
        "piece_price": quotient(sum(row[t.AMOUNT] for row in lines), pieces),
        "discounted_order_share": quotient(sum(discounted), len(orders)),
        "coupons_per_order": quotient(len(of_type(inside, t.COUPON_REDEEMED)), len(orders)),
        "return_ratio": quotient(sum(row[t.QUANTITY] for row in of_type(inside, t.RETURN)), pieces),
        "repeat_item_share": quotient(len(bought & before), len(bought)),
    }
    items = [row[t.ITEM_ID] for row in of_type(inside, t.PURCHASE)]
    for word, table in (("category", CATEGORY), ("brand", BRAND)):
        entropy, top = spread([table[item] for item in items if item in table])
        values |= {f"{word}_entropy": entropy, f"{word}_top_share": top}
    stars = [row[t.RATING] for row in inside if row[t.RATING] is not None]
    values["rating_mean"] = statistics.mean(stars) if stars else None
    values["low_rating_share"] = quotient(sum(star <= 2 for star in stars), len(stars))
    return named(values, window)


def messages(rows: Rows, window: int) -> Values:
    inside = within(rows, window)
    sent, lines = of_type(inside, t.MESSAGE_SENT), of_type(inside, t.PURCHASE)
    values = {
        "campaigns": len({row[t.CAMPAIGN_ID] for row in sent} - {None}),
        "open_ratio": quotient(len(of_type(inside, t.MESSAGE_OPENED)), len(sent)),
        "message_response_share": followed(rows, sent),
        "campaign_purchase_share": quotient(sum(row[t.CAMPAIGN_ID] is not None for row in lines), len(lines)),
    }
    return named(values, window)


def cadence(values: Values, placed: list, gaps: list[int]) -> Values:
    recency, mean, std = (values[name] for name in ("recency_days", "gap_mean_days", "gap_std_days"))
    first = since([min((moment for moment, _ in placed), default=None)])
    if recency is None or first is None:
        state = 0
    elif first < 28:
        state = 1
    elif gaps and gaps[-1] >= 84 and recency < 28:
        state = 5
    else:
        usual = max(mean, 7) if gaps else 28
        state = 2 if recency <= 1.5 * usual else 3 if recency <= 3 * usual else 4
    return {
        "first_order_days": first,
        "days_to_first_order": None if first is None else values["tenure_days"] - first,
        "gap_variation": None if std is None else std / mean,
        "last_to_mean_gap": gaps[-1] / mean if gaps else None,
        "recency_to_max_gap": recency / max(gaps) if gaps else None,
        "overdue": (recency - mean) / std if std else None,
        "lifecycle_state": state,
    }


def standing(user: str, everyone: Rows) -> Values:
    """The user beside all others: scores, popularity and prices."""
    numbers = {}
    for name in {row[t.USER_ID] for row in everyone}:
        placed = orders_of([row for row in everyone if row[t.USER_ID] == name])
        inside = [order for order in placed if is_inside(order[0], 364)]
        if inside:
            spend = sum(round(row[t.AMOUNT] * 10_000) for _, order in inside for row in order)
            recency = -((AS_OF - max(moment for moment, _ in placed)) // timedelta(days=1))
            numbers[name] = (recency, len(inside), coarse(spend))
    scores: list[int | None] = [None] * 3
    if user in numbers:
        below = [sum(other[place] < numbers[user][place] for other in numbers.values()) for place in range(3)]
        scores = [1 + 5 * count // len(numbers) for count in below]
    market = of_type(within(everyone, 84), t.PURCHASE)
    popularity = Counter(row[t.ITEM_ID] for row in market if row[t.ITEM_ID])
    items = [row[t.ITEM_ID] for row in market if row[t.USER_ID] == user and row[t.ITEM_ID]]
    pieces, worth = Counter(), Counter()
    for row in market:
        if row[t.ITEM_ID] in CATEGORY:
            pieces[CATEGORY[row[t.ITEM_ID]]] += row[t.QUANTITY]
            worth[CATEGORY[row[t.ITEM_ID]]] += round((row[t.AMOUNT] + row[t.DISCOUNT]) * 10_000)
    own = [row for row in market if row[t.USER_ID] == user and row[t.ITEM_ID] in CATEGORY]
    price = {category: worth[category] // max(pieces[category], 1) for category in pieces}
    usual = sum(row[t.QUANTITY] * price[CATEGORY[row[t.ITEM_ID]]] for row in own)
    share = sum(popularity[item] for item in items) / sum(popularity.values()) if items else 0
    return {
        **dict(zip(("recency_score_364d", "frequency_score_364d", "monetary_score_364d"), scores, strict=True)),
        "rfm_score_364d": sum(scores) if scores[0] else None,
        "item_popularity_84d": quotient(share, len(items)),
        "price_level_84d": quotient(sum(row[t.AMOUNT] + row[t.DISCOUNT] for row in own) * 10_000, usual),
    }


def coarse(number: int) -> int:
    """All but the 8 leading binary digits are dropped."""
    dropped = max(number.bit_length() - 8, 0)
    return number >> dropped << dropped
