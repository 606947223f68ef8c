"""Gamma-Gamma: what users pay per order, each around a mean of their own, independent of their order rate.

Payments of a user are gamma distributed with shape `p` and a rate nu of their own; nu is gamma distributed with shape
`q` and rate `v`. Source: Fader, Hardie, "The Gamma-Gamma Model of Monetary Value" (2013); their gamma is `v` here.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from everstay.errors import NotReady

FloatArray = NDArray[np.float64]

_LARGEST = 9.0  # log of a parameter, money in units of its mean; beyond, the data do not identify it
_LEAST_SHAPE = 0.01  # of q above 1, so that the mean exists


@dataclass(frozen=True)
class GammaGamma:
    """Fitted model of payments; `v` is in the shop's currency."""

    p: float
    q: float
    v: float

    @classmethod
    def fit(cls, counts: ArrayLike, means: ArrayLike) -> Self:
        """Maximise the likelihood.

        Args:
            counts: (N,) payments of each user, at least 1.
            means: (N,) their mean; users who never paid anything are left out.

        Raises:
            NotReady: fewer than two users paid.
        """
        count, mean = np.asarray(counts, dtype=np.float64), np.asarray(means, dtype=np.float64)
        paid = (count > 0) & (mean > 0)
        if paid.sum() < 2:
            raise NotReady("fewer than two users paid anything: there is no value per order to learn")
        count, mean = count[paid], mean[paid]
        unit = float(mean.mean())

        def model(logs: FloatArray) -> "GammaGamma":
            p, q, v = np.exp(logs)
            return cls(float(p), float(1 + _LEAST_SHAPE + q), float(v))

        def loss(logs: FloatArray) -> float:
            return -float(model(logs).log_likelihood(count, mean / unit).mean())

        bounds, options = [(-_LARGEST, _LARGEST)] * 3, {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 1_000}
        found = model(minimize(loss, np.array([1.0, 1.0, 0.0]), bounds=bounds, method="L-BFGS-B", options=options).x)
        return cls(found.p, found.q, found.v * unit)

    def log_likelihood(self, counts: FloatArray, means: FloatArray) -> FloatArray:
        """Log-density of each user's mean payment, (N,)."""
        shape, total = self.p * counts, counts * means
        level = gammaln(shape + self.q) - gammaln(shape) - gammaln(self.q) + self.q * np.log(self.v)
        return level + shape * np.log(total) - np.log(means) - (shape + self.q) * np.log(self.v + total)

    def expected_payment(self, counts: FloatArray, means: FloatArray) -> FloatArray:
        """Mean of a user's next payments, (N,); with a count of 0, that of an unknown user."""
        return self.p * (self.v + counts * means) / (self.p * counts + self.q - 1)

    def inverse_rate_square(self, counts: FloatArray, means: FloatArray) -> FloatArray:
        """Mean of 1 / nu², (N,); infinite where there are too few payments."""
        shape, rate = self.q + self.p * counts, self.v + counts * means
        with np.errstate(divide="ignore"):
            return np.where(shape > 2, rate**2 / ((shape - 1) * np.maximum(shape - 2, 0)), np.inf)
