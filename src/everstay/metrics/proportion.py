"""Uncertainty of a share of users: Wilson's score interval, valid for few users and for shares near 0 and 1."""

from statistics import NormalDist

from everstay.metrics.comparison import Interval


def share_interval(hits: int, users: int, confidence: float) -> Interval:
    """Share of `users` that are `hits`, with Wilson's (1927) bounds.

    Raises:
        ValueError: there are no users.

    >>> share = share_interval(1, 10, 0.95)
    >>> share.value, round(share.low, 4), round(share.high, 4)
    (0.1, 0.0179, 0.4042)
    """
    if users <= 0:
        raise ValueError("a share needs at least one user")
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), hits / users
    middle = (share + z * z / (2 * users)) / (1 + z * z / users)
    half = z / (1 + z * z / users) * (share * (1 - share) / users + z * z / (4 * users * users)) ** 0.5
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))
