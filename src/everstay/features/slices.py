"""The points in time at which users are observed: as-ofs, what is known before them, and the split by time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from everstay import tables as t
from everstay.errors import NotReady
from everstay.settings import Churn


@dataclass(frozen=True)
class TimeSplit:
    """As-ofs of the parts, oldest first; train's labels are known by validation's first, validation's by the test's.

    Where the history is too short for that, train and validation have the same as-ofs and are of different users.

    Attributes:
        train: what candidates learn from.
        between: further as-ofs after the last of `train` and before the last of `validation`; their labels are known
            too late for the validation, but in time for a refit that is evaluated at `test`.
        validation: what candidates are chosen and calibrated on.
        test: where the chosen one is judged.
    """

    train: tuple[datetime, ...]
    between: tuple[datetime, ...]
    validation: tuple[datetime, ...]
    test: datetime

    @property
    def is_by_user(self) -> bool:
        """Whether train and validation differ by users and not by time."""
        return self.train == self.validation

    @property
    def refit(self) -> tuple[datetime, ...]:
        """Every as-of whose label is known at the test's."""
        return self.train if self.is_by_user else (*self.train, *self.between, *self.validation)

    @property
    def as_ofs(self) -> tuple[datetime, ...]:
        """All as-ofs."""
        return (*self.refit, self.test)

    def in_words(self) -> str:
        """Describe what models learned from, were chosen and are judged on."""
        first, last, test = (f"{moment:%Y-%m-%d}" for moment in (self.train[0], self.train[-1], self.test))
        span = f"{len(self.train)} as-ofs from {first} to {last}" if len(self.train) > 1 else f"one as-of, {first}"
        learned = f"were trained on {span}"
        if self.is_by_user:
            words = "chosen on the others (the history is too short to choose on later as-ofs)"
            return f"{learned}, of two thirds of the users, {words}, retrained on all, and tested as of {test}"
        chosen = ", ".join(f"{moment:%Y-%m-%d}" for moment in self.validation)
        again = f"retrained on {len(self.refit)} as-ofs up to {self.refit[-1]:%Y-%m-%d}"
        return f"{learned}, chosen as of {chosen}, {again}, and tested as of {test}"


def midnight_before(moment: datetime) -> datetime:
    """Give the last midnight UTC that is not after `moment`.

    >>> midnight_before(datetime(2018, 1, 1, 4, 1, tzinfo=UTC)).isoformat()
    '2018-01-01T00:00:00+00:00'
    """
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def label_delay(churn: Churn) -> timedelta:
    """Time from an as-of until its churn label is known: gap, horizon and allowed lateness.

    >>> label_delay(Churn()).days
    30
    """
    return timedelta(days=churn.gap_days + churn.horizon_days + churn.allowed_lateness_days)


def last_mature_as_of(recorded_until: datetime, churn: Churn) -> datetime:
    """Give the last midnight whose churn label is known when the log ends at `recorded_until`.

    >>> last_mature_as_of(datetime(2018, 1, 1, 4, 1, tzinfo=UTC), Churn()).isoformat()
    '2017-12-02T00:00:00+00:00'
    """
    return midnight_before(recorded_until) - label_delay(churn)


def last_judged_as_of(recorded_until: datetime, churn: Churn, basket_days: int) -> datetime:
    """Give the last midnight whose churn label and next baskets are both known when the log ends at `recorded_until`.

    Args:
        recorded_until: end of the log.
        churn: decides when the label is known.
        basket_days: days after an as-of within which a next basket comes.

    >>> last_judged_as_of(datetime(2018, 1, 1, 4, 1, tzinfo=UTC), Churn(), basket_days=60).isoformat()
    '2017-11-02T00:00:00+00:00'
    """
    baskets_known = midnight_before(recorded_until) - timedelta(days=basket_days)
    return min(last_mature_as_of(recorded_until, churn), baskets_known)


def time_split(test_as_of: datetime, first_event_at: datetime, churn: Churn) -> TimeSplit:
    """Split by time so that no label window, with its lateness, reaches beyond the next part's as-of.

    The last validation as-of lies one label delay before the test's; earlier ones lie two steps apart, at most
    `validation_slices`, and only as many as leave four training as-ofs for each. The last training as-of lies one label
    delay before the first of them. Earlier ones lie `slice_step_days` apart, as long as a full look-back of history
    precedes them, at most `training_slices`.

    A history too short for one training as-of before the validation's label is split by users: training and validation
    share the as-ofs that lie at least one label delay before the test.

    Raises:
        NotReady: the history is too short for a single as-of whose label is known at the test's.

    >>> split = time_split(datetime(2017, 12, 2, tzinfo=UTC), datetime(2017, 1, 1, 11, tzinfo=UTC), Churn())
    >>> [moment.date().isoformat() for moment in (split.train[0], split.train[-1], *split.validation, split.test)]
    ['2017-03-28', '2017-09-05', '2017-10-05', '2017-10-19', '2017-11-02', '2017-12-02']
    """
    last_validation = test_as_of - label_delay(churn)
    last = last_validation - label_delay(churn)
    earliest = first_event_at + timedelta(days=churn.look_back_days)
    step = timedelta(days=churn.slice_step_days)
    if last_validation < earliest:
        raise NotReady(
            f"the history begins at {first_event_at:%Y-%m-%d %H:%M} and is too short to train: judged at "
            f"{test_as_of:%Y-%m-%d}, the last training as-of is {last_validation:%Y-%m-%d %H:%M}, which does not have "
            f"{churn.look_back_days} days of history before it; shorten look_back_days or horizon_days in [churn], "
            "or horizon_days in [recommender] where that is longer, or bring more history"
        )
    if last < earliest:
        shared = _training(last_validation, earliest, churn)
        return TimeSplit(shared, (), shared, test_as_of)
    judges = min(churn.validation_slices, _most_judges((last - earliest) // step + 1))
    validation = tuple(last_validation - 2 * step * back for back in reversed(range(judges)))
    last -= 2 * step * (judges - 1)
    train = _training(last, earliest, churn)
    later = (last + step * ahead for ahead in range(1, (last_validation - last) // step + 1))
    between = tuple(moment for moment in later if moment < last_validation and moment not in validation)
    return TimeSplit(train, between, validation, test_as_of)


def _training(last: datetime, earliest: datetime, churn: Churn) -> tuple[datetime, ...]:
    """As-ofs back from `last`, not before `earliest`, at most `training_slices`."""
    step = timedelta(days=churn.slice_step_days)
    count = min(churn.training_slices, (last - earliest) // step + 1)
    return tuple(last - step * back for back in reversed(range(count)))


def _most_judges(room: int) -> int:
    """Most validation as-ofs that leave four training as-ofs each, if one leaves `room`; each further one takes two.

    >>> [_most_judges(room) for room in (1, 9, 10, 15, 16)]
    [1, 1, 2, 2, 3]
    """
    return max(1, (room + 2) // 6)


def known_before(as_of: datetime) -> pl.Expr:
    """Condition on events: happened and recorded strictly before `as_of`, the only ones a feature may use."""
    return (pl.col(t.OCCURRED_AT) < as_of) & (pl.col(t.RECORDED_AT) < as_of)
