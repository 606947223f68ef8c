"""Buy till you die: customers buy at random times, each at a rate of their own, until they silently stop.

Three models of a customer's purchases after the first one, with their likelihoods in closed form:

- `ParetoNbd`: stops at any time. Schmittlein, Morrison, Colombo, Management Science 33 (1987); formulas as in Fader,
  Hardie, "A Note on Deriving the Pareto/NBD Model" (2005).
- `BgNbd`: stops only right after a repeat purchase. Fader, Hardie, Lee, Marketing Science 24 (2005).
- `MbgNbd`: stops right after any purchase, the first included. Batislam, Denizel, Filiztekin, IJRM 24 (2007).

Times are in any one unit; estimates and horizons are in the same.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from everstay.errors import NotReady

FloatArray = NDArray[np.float64]

_LARGEST = 9.0  # log of a parameter, times in units of the mean age; beyond, the data do not identify it
_IMPOSSIBLE = 1e6  # loss of parameters whose likelihood is not finite; any customer's real one is far below


@dataclass(frozen=True)
class History:
    """What is known of N customers at one moment.

    Attributes:
        frequency: (N,) purchases after the first; several in a day, or another unit of time, count once.
        recency: (N,) time from the first purchase to the last; 0 without a second.
        age: (N,) time from the first purchase until now.
    """

    frequency: FloatArray
    recency: FloatArray
    age: FloatArray

    @classmethod
    def of(cls, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Self:
        """Check and convert.

        Raises:
            ValueError: lengths differ, a value is not finite, or not 0 <= recency <= age, 0 <= frequency.
        """
        arrays = [np.asarray(values, dtype=np.float64) for values in (frequency, recency, age)]
        counts, last, ages = arrays
        if len({values.shape for values in arrays}) > 1 or counts.ndim != 1:
            raise ValueError("frequency, recency and age must have one value per customer each")
        if not all(np.isfinite(values).all() for values in arrays) or (counts < 0).any():
            raise ValueError("frequency, recency and age must be finite, and frequency not negative")
        if (last < 0).any() or (last > ages).any() or (ages <= 0).any():
            raise ValueError("every customer needs 0 <= recency <= age and an age above 0")
        return cls(counts, last, ages)


@dataclass(frozen=True)
class _Model:
    """What the three models share. Purchase rates are gamma distributed: shape `r`, mean `r / alpha`."""

    times: ClassVar[tuple[str, ...]] = ("alpha",)  # parameters that are times

    r: float
    alpha: float

    @classmethod
    def fit(cls, history: History) -> Self:
        """Maximise the likelihood.

        Raises:
            NotReady: no customer bought a second time, so that nothing can be learned.
        """
        if not (history.frequency > 0).any():
            raise NotReady("no customer bought twice: there is no purchase rate to learn")
        unit = float(history.age.mean())
        scaled = History(history.frequency, history.recency / unit, history.age / unit)

        def loss(logs: FloatArray) -> float:
            with np.errstate(invalid="ignore"):  # far out, the series no longer converges
                value = -float(cls(*np.exp(logs)).log_likelihood(scaled).mean())
            return value if np.isfinite(value) else _IMPOSSIBLE

        count = len(fields(cls))
        bounds = [(-_LARGEST, _LARGEST)] * count
        options = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 1_000}
        found = np.exp(minimize(loss, np.zeros(count), bounds=bounds, method="L-BFGS-B", options=options).x)
        units = [unit if field.name in cls.times else 1.0 for field in fields(cls)]
        return cls(*(float(value) for value in found * units))

    def log_likelihood(self, history: History) -> FloatArray:
        """Log of the density of each customer's purchases, (N,), up to a term of the data only."""
        return self._log_alive(history) + np.logaddexp(0.0, self._log_stopped_odds(history))

    def probability_alive(self, history: History) -> FloatArray:
        """Chance that a customer has not stopped, (N,)."""
        return 1.0 / (1.0 + np.exp(np.minimum(self._log_stopped_odds(history), 700.0)))

    def probability_no_purchase(self, history: History, horizon: float) -> FloatArray:
        """Chance that nothing is bought in the time `horizon` from now, (N,)."""
        return 1.0 - self.probability_alive(history) * -np.expm1(self._log_silence(history, horizon))

    def _log_alive(self, history: History) -> FloatArray:
        """Log-likelihood of the purchases and of not having stopped."""
        raise NotImplementedError

    def _log_stopped_odds(self, history: History) -> FloatArray:
        """Log-odds of having stopped."""
        raise NotImplementedError

    def _log_silence(self, history: History, horizon: float) -> FloatArray:
        """Log-chance that a customer who has not stopped buys nothing in `horizon`, whether they stop in it or not."""
        raise NotImplementedError

    def _log_rate(self, history: History) -> FloatArray:
        """Log-likelihood of the purchases of a customer who never stops."""
        shape = self.r + history.frequency
        level = gammaln(shape) - gammaln(self.r) + self.r * np.log(self.alpha)
        return level - shape * np.log(self.alpha + history.age)


@dataclass(frozen=True)
class BgNbd(_Model):
    """Stops after a repeat purchase with a chance that is beta distributed with `a` and `b`."""

    first_counts: ClassVar[int] = 0  # whether a customer can already stop after the first purchase

    a: float
    b: float

    def _log_alive(self, history: History) -> FloatArray:
        stayed = history.frequency + self.first_counts
        return self._log_rate(history) + betaln(self.a, self.b + stayed) - betaln(self.a, self.b)

    def _log_stopped_odds(self, history: History) -> FloatArray:
        chances = history.frequency + self.first_counts
        silence = np.log(self.alpha + history.age) - np.log(self.alpha + history.recency)
        odds = np.log(self.a) - np.log(self.b + np.maximum(chances, 1.0) - 1.0)
        return np.where(chances > 0, odds + (self.r + history.frequency) * silence, -np.inf)

    def _log_silence(self, history: History, horizon: float) -> FloatArray:
        return -(self.r + history.frequency) * np.log1p(horizon / (self.alpha + history.age))


@dataclass(frozen=True)
class MbgNbd(BgNbd):
    """Like `BgNbd`, but customers can already stop after the first purchase: one-time buyers are not all alive."""

    first_counts: ClassVar[int] = 1


@dataclass(frozen=True)
class ParetoNbd(_Model):
    """Stops at a rate that is gamma distributed: shape `s`, mean `s / beta`."""

    times: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    s: float
    beta: float

    def _log_alive(self, history: History) -> FloatArray:
        return self._log_rate(history) - self.s * np.log1p(history.age / self.beta)

    def _log_stopped_odds(self, history: History) -> FloatArray:
        shape = self.r + history.frequency
        log_alive = -shape * np.log(self.alpha + history.age) - self.s * np.log(self.beta + history.age)
        return _log_stopped(shape, self.alpha, self.s, self.beta, history.recency, history.age) - log_alive

    def _log_silence(self, history: History, horizon: float) -> FloatArray:
        shape, alpha, beta = self.r + history.frequency, self.alpha + history.age, self.beta + history.age
        zero = np.zeros_like(shape)
        stopped = _log_stopped(shape, alpha, self.s, beta, zero, zero + horizon)
        silent = -shape * np.log(alpha + horizon) - self.s * np.log(beta + horizon)
        return np.minimum(np.logaddexp(silent, stopped) + shape * np.log(alpha) + self.s * np.log(beta), 0.0)


def _log_stopped(
    shape: FloatArray, alpha: FloatArray | float, s: float, beta: FloatArray | float, start: FloatArray, end: FloatArray
) -> FloatArray:
    """Log of the integral of s (alpha + t)^-shape (beta + t)^-(s + 1) from `start` to `end`."""
    total = shape + s
    larger, apart = np.maximum(alpha, beta), np.abs(np.subtract(alpha, beta))
    is_alpha = np.greater_equal(alpha, beta)
    # Euler's transformation of the published series: a first parameter of 1 stays in range for frequent buyers
    second, power = np.where(is_alpha, shape, s + 1.0), np.where(is_alpha, s, shape - 1.0)

    def log_antiderivative(time: FloatArray) -> FloatArray:
        share = apart / (larger + time)
        series = np.log(hyp2f1(1.0, second, total + 1.0, share))
        return series - power * np.log1p(-share) - total * np.log(larger + time)

    first, last = log_antiderivative(start), log_antiderivative(end)
    with np.errstate(divide="ignore"):  # start equals end: log(0)
        return np.log(s) - np.log(total) + first + np.log(-np.expm1(np.minimum(last - first, 0.0)))
