"""What acting on churn probabilities earns: profit per user by share contacted, EMPC, and the best threshold.

A campaign contacts the users with the highest scores. Contacting costs `contact_cost` each; users who would have stayed
take the offer; those who would have left take it, and stay, with probability `acceptance`, and are then worth the
margin on their value. Source: Verbraken, Verbeke, Baesens, IEEE TKDE 25 (2013).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from everstay.settings import Value

FloatArray = NDArray[np.float64]


def contact_profit(left: ArrayLike, worth: ArrayLike, costs: Value) -> FloatArray:
    """Profit of contacting each user, (n,), in expectation over acceptance.

    Args:
        left: (n,) who leaves without a contact: 0 or 1, or its probability for the expected profit.
        worth: (n,) margin on what a user who stays pays.
        costs: of the campaign.

    >>> costs = Value(contact_cost=1, offer_cost=10, acceptance_alpha=3, acceptance_beta=7)
    >>> contact_profit([1, 0], [200, 200], costs).round(6).tolist()  # 0.3 (200 - 10) - 1, -10 - 1
    [56.0, -11.0]
    """
    share, worth_of = np.asarray(left, dtype=np.float64), np.asarray(worth, dtype=np.float64)
    won = costs.acceptance * (worth_of - costs.offer_cost)
    return share * won - (1 - share) * costs.offer_cost - costs.contact_cost


def contact_cost(left: ArrayLike, costs: Value) -> FloatArray:
    """Expected cost of contacting each user, (n,): the contact, and the offer of those who take it."""
    share = np.asarray(left, dtype=np.float64)
    return costs.contact_cost + costs.offer_cost * (share * costs.acceptance + 1 - share)


@dataclass(frozen=True)
class ProfitCurve:
    """Profit by the share of users contacted, the highest scores first; equal scores are contacted together.

    Attributes:
        scores: (k,) thresholds, descending; the first is infinite: nobody is contacted.
        share: (k,) of users with at least this score.
        profit: (k,) per user, contacted or not, currency.
        cost: (k,) per user, contacted or not, currency.
    """

    scores: FloatArray
    share: FloatArray
    profit: FloatArray
    cost: FloatArray

    def best(self, budget_per_user: float | None = None) -> int:
        """Index of the highest profit within the budget; the fewest contacts if tied."""
        inside = np.ones(len(self.cost), bool) if budget_per_user is None else self.cost <= budget_per_user
        return int(np.argmax(np.where(inside, self.profit, -np.inf)))


def profit_curve(scores: ArrayLike, profit: ArrayLike, cost: ArrayLike) -> ProfitCurve:
    """Cumulate profit and cost (n,) of contacts in the order of scores (n,).

    >>> curve = profit_curve([3, 1, 2, 2], [5.0, -9.0, 3.0, -1.0], [1.0, 1.0, 1.0, 1.0])
    >>> curve.share.tolist(), curve.profit.tolist(), float(curve.scores[curve.best()])
    ([0.0, 0.25, 0.75, 1.0], [0.0, 1.25, 1.75, -0.5], 2.0)
    >>> float(curve.scores[curve.best(budget_per_user=0.5)])
    3.0
    """
    ranks = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-ranks, kind="stable")
    is_last = np.append(np.diff(ranks[order]) != 0, True)
    sums = [np.cumsum(np.asarray(part, dtype=np.float64)[order])[is_last] for part in (profit, cost)]
    count = np.arange(1, len(order) + 1)[is_last]
    parts = [np.concatenate([[0.0], part / len(order)]) for part in (count, *sums)]
    return ProfitCurve(np.concatenate([[np.inf], ranks[order][is_last]]), *parts)


def empc(y: ArrayLike, p: ArrayLike, weights: ArrayLike | None = None, *, worth: float, costs: Value) -> FloatArray:
    """Expected maximum profit per user: over the beta distribution of acceptance, at the best threshold for each.

    All users count as worth the same, so that it judges the ranking alone. Exact, by the ROC curve's convex hull.

    Args:
        y: (n,) outcomes, 1 for who left.
        p: (n,) scores.
        weights: (n,), or (resamples, n) for as many values.
        worth: margin on what a user who stays pays, above the offer's cost.
        costs: of the campaign.
    """
    outcome, score = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    weight = np.ones(len(outcome)) if weights is None else np.asarray(weights, dtype=np.float64)
    _, group = np.unique(-score, return_inverse=True)
    rows = np.atleast_2d(weight)
    values = [_empc(outcome, row, group, worth, costs) for row in rows]
    return np.array(values).reshape(weight.shape[:-1])


def _empc(y: FloatArray, weight: FloatArray, group: NDArray[np.intp], worth: float, costs: Value) -> float:
    total = weight.sum()
    left, stayed = (np.append(0.0, np.cumsum(np.bincount(group, weights=weight * part))) for part in (y, 1 - y))
    if total == 0 or left[-1] == 0 or stayed[-1] == 0:
        return float("nan")
    hull = _upper_hull(stayed, left)
    churn, stay = left[hull] / total, stayed[hull] / total
    gain, loss = worth - costs.offer_cost, costs.offer_cost + costs.contact_cost
    if gain <= 0:
        return 0.0  # nobody is worth an offer
    more = np.diff(churn)
    never = np.full(len(more), np.inf)  # a last step that finds no more leavers does not pay
    border = (np.divide(np.diff(stay) * loss, more, out=never, where=more > 0) + costs.contact_cost) / gain
    edges = np.clip(np.concatenate([[0.0], border, [1.0]]), 0.0, 1.0)
    a, b = costs.acceptance_alpha, costs.acceptance_beta
    mass, mean = np.diff(betainc(a, b, edges)), a / (a + b) * np.diff(betainc(a + 1, b, edges))
    return float((gain * churn * mean - (costs.contact_cost * churn + loss * stay) * mass).sum())


@njit(cache=True)
def _upper_hull(x: FloatArray, y: FloatArray) -> NDArray[np.int64]:
    """Indices of the points of the upper convex hull of (x, y), both ascending, from the first to the last."""
    kept = np.empty(len(x), np.int64)
    count = 0
    for place in range(len(x)):
        while count > 1:
            one, two = kept[count - 2], kept[count - 1]
            if (y[two] - y[one]) * (x[place] - x[one]) > (y[place] - y[one]) * (x[two] - x[one]):
                break
            count -= 1
        kept[count] = place
        count += 1
    return kept[:count]
