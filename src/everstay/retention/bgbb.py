"""BG/BB: each user buys in a period with a chance of their own until they leave, which may happen after any period.

The beta-geometric/beta-Bernoulli model of Fader, Hardie and Shang (2010), "Customer-Base Analysis in a Discrete-Time
Noncontractual Setting", Marketing Science 29(6): a discrete-time survival model whose geometric lifetimes and chances
to buy vary over users as two beta distributions. A history is summed up by three whole numbers: n periods
since the one of the first order, x of them with an order, tx the last of these (0: none).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, logsumexp

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_LOG_BOUND = 7.0  # parameters lie within e^-7 to e^7: beyond, the likelihood is flat


@dataclass(frozen=True)
class Histories:
    """Distinct histories, and how many users have each: all (m,).

    Attributes:
        n: periods since the first order's.
        x: of them with an order.
        tx: the last one with an order; 0 when there is none.
        users: number of users with this history.
    """

    n: IntArray
    x: IntArray
    tx: IntArray
    users: FloatArray


@dataclass(frozen=True)
class BgBb:
    """The two beta distributions.

    Attributes:
        alpha: with `beta`: of the chance to buy in a period before leaving.
        beta: see `alpha`.
        gamma: with `delta`: of the chance to leave at the end of a period.
        delta: see `gamma`.
    """

    alpha: float
    beta: float
    gamma: float
    delta: float

    def log_likelihood(self, histories: Histories) -> FloatArray:
        """Log-likelihood of one user with each history, (m,); equation 5 of the paper."""
        h = histories
        most = int(h.n.max(initial=0)) + 2
        buys, leaves = _LogBeta(self.alpha, self.beta, most), _LogBeta(self.gamma, self.delta, most)
        stayed = buys(h.x, h.n - h.x) + leaves(0, h.n)
        silent = np.arange(int((h.n - h.tx).max(initial=0)))  # left after so many periods without an order
        last = h.tx[:, None] + silent
        is_possible = last < h.n[:, None]
        last = np.where(is_possible, last, h.tx[:, None])
        left = np.where(is_possible, buys(h.x[:, None], last - h.x[:, None]) + leaves(1, last), -np.inf)
        total = logsumexp(np.concatenate([stayed[:, None], left], axis=1), axis=1)
        return np.asarray(total - buys(0, 0) - leaves(0, 0))

    def buys(self, histories: Histories, ahead: int) -> FloatArray:
        """Chance that a user with each history buys in the `ahead`-th period from now (1: the next one), (m,)."""
        h = histories
        both = betaln(self.alpha + h.x + 1, self.beta + h.n - h.x) + betaln(self.gamma, self.delta + h.n + ahead)
        return self._given(both, h)

    def _given(self, both: FloatArray, histories: Histories) -> FloatArray:
        scale = betaln(self.alpha, self.beta) + betaln(self.gamma, self.delta)
        return np.asarray(np.exp(both - scale - self.log_likelihood(histories)))


class _LogBeta:
    """Logs of B(a + i, b + j) for whole i and j below `most`, from three rows of the gamma function."""

    def __init__(self, a: float, b: float, most: int):
        whole = np.arange(most)
        self._a, self._b = gammaln(a + whole), gammaln(b + whole)
        self._both = gammaln(a + b + np.arange(2 * most))

    def __call__(self, i: IntArray | int, j: IntArray | int) -> FloatArray:
        return np.asarray(self._a[i] + self._b[j] - self._both[i + j])


def fit_bgbb(histories: Histories) -> BgBb:
    """Maximum likelihood; the same histories in any order give the same model up to the optimiser's tolerance.

    Args:
        histories: at least one with n > 0, because others are uninformative.
    """

    def loss(logs: FloatArray) -> float:
        model = BgBb(*np.exp(logs))
        return float(-(histories.users @ model.log_likelihood(histories)) / histories.users.sum())

    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * 4
    found = minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=bounds)
    return BgBb(*(float(value) for value in np.exp(found.x)))
