"""Single passes over a bucket's sorted rows that give the values of every user at every as-of at once.

An event of day d that is known from day b on counts in the window of n days of every as-of a with b <= a <= d + n.
As-ofs ascend, so these are contiguous: the value is added at the first of them and subtracted after the last, and one
running sum over the as-ofs then gives all of them. The work per event does not depend on the number of as-ofs.

Shapes: N rows of U users, S as-ofs, W windows, K kinds of rows, D days of the calendar.
`starts` (U + 1,): a user's rows are `starts[u]:starts[u + 1]`, in order of time.
Days count from the calendar's first. `calendar` (D,): number of the first as-of on a day or after it; S if none.
`begin`, `end` (N,): first day on which a row is known, and on which it is no longer valid (D - 1: always valid).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Days = NDArray[np.int32]

NEVER = np.iinfo(np.int64).min
DAY = 86_400_000_000  # microseconds


@njit(cache=True, nogil=True)
def calendar_days(occurred: Ints, recorded: Ints, first_day: int) -> tuple[Days, Days]:
    """Day on which each event happened, and the first on whose midnight it is known: (N,) each.

    Args:
        occurred: (N,) microseconds since 1970.
        recorded: (N,) microseconds since 1970.
        first_day: of the calendar, since 1970.
    """
    day, begin = np.empty(len(occurred), np.int32), np.empty(len(occurred), np.int32)
    for row in range(len(occurred)):
        day[row] = occurred[row] // DAY - first_day
        late = recorded[row] > occurred[row]
        begin[row] = (recorded[row] // DAY - first_day if late else day[row]) + 1
    return day, begin


@njit(cache=True, nogil=True)
def window_sums(
    starts: Ints, kind: NDArray[np.int8], value: Ints | None, day: Days, begin: Days, end: Days | None,
    calendar: Days, windows: Days, sums: Ints,
) -> None:  # fmt: skip
    """Sum `value` per kind, window, as-of and user into `sums` (K, W, S, U), which must be zero on entry.

    Args:
        starts: see above.
        kind: (N,) 0 to K - 1; rows with a negative one are left out.
        value: (N,); None: one each.
        day: (N,) of the event.
        begin: see above.
        end: see above; None: all rows stay valid.
        calendar: see above.
        windows: (W,) lengths in days, ascending.
        sums: result.
    """
    slices = sums.shape[2]
    for user in range(len(starts) - 1):
        for row in range(starts[user], starts[user + 1]):
            if kind[row] < 0:
                continue
            first = calendar[begin[row]]
            valid = slices if end is None else calendar[end[row]]
            amount = 1 if value is None else value[row]
            for window in range(len(windows) - 1, -1, -1):
                last = min(valid, calendar[day[row] + windows[window] + 1])
                if first >= last:  # nor does it count in a shorter one
                    break
                sums[kind[row], window, first, user] += amount
                if last < slices:
                    sums[kind[row], window, last, user] -= amount
    accumulate(sums)


@njit(cache=True, nogil=True)
def window_distinct(
    starts: Ints, code: Days, codes: int, day: Days, begin: Days, calendar: Days, windows: Days, counts: Ints
) -> None:
    """Count distinct `code` per window, as-of and user into `counts` (W, S, U), which must be zero on entry.

    A row counts until a later row of its code is known, or its day leaves the window: from the newest row to the
    oldest, `covered` holds from which as-of on a later row of the code is known.

    Args:
        starts: see above.
        code: (N,) 0 to `codes` - 1; rows with a negative one are left out.
        codes: number of codes.
        day: (N,) of the event.
        begin: see above.
        calendar: see above.
        windows: (W,) lengths in days, ascending.
        counts: result.
    """
    slices = counts.shape[1]
    owner = np.full(codes, -1, np.int64)
    covered = np.empty(codes, np.int32)
    for user in range(len(starts) - 1):
        for row in range(starts[user + 1] - 1, starts[user] - 1, -1):
            thing = code[row]
            if thing < 0:
                continue
            first = calendar[begin[row]]
            limit = np.int32(slices)
            if owner[thing] == user:
                limit = covered[thing]
                covered[thing] = min(limit, first)
            else:
                owner[thing] = user
                covered[thing] = first
            if first >= limit:
                continue
            for window in range(len(windows) - 1, -1, -1):
                last = min(limit, calendar[day[row] + windows[window] + 1])
                if first >= last:  # nor does it count in a shorter one
                    break
                counts[window, first, user] += 1
                if last < slices:
                    counts[window, last, user] -= 1
    accumulate(counts.reshape((1, *counts.shape)))


@njit(cache=True, nogil=True)
def accumulate(sums: Ints) -> None:
    """Running sum over the as-ofs of (K, W, S, U), in place."""
    for kind in range(sums.shape[0]):
        for window in range(sums.shape[1]):
            for later in range(1, sums.shape[2]):
                for user in range(sums.shape[3]):
                    sums[kind, window, later, user] += sums[kind, window, later - 1, user]


@njit(cache=True, nogil=True)
def longest(starts: Ints) -> int:
    """The largest number of rows of any user."""
    most = 0
    for user in range(len(starts) - 1):
        most = max(most, starts[user + 1] - starts[user])
    return most


@njit(cache=True, nogil=True)
def first_and_latest(
    starts: Ints, kind: NDArray[np.int8], moment: Ints, begin: Days, calendar: Days, is_in: NDArray[np.bool_],
    first: Ints, latest: Ints,
) -> None:  # fmt: skip
    """Find the time of each user's first row at an as-of, and of the latest row of each group of kinds.

    Args:
        starts: see above.
        kind: (N,) 0 to K - 1, or -1.
        moment: (N,) microseconds, ascending within a user.
        begin: see above.
        calendar: see above.
        is_in: (G, K + 1) whether a kind is of a group; the last column is for -1.
        first: (S, U), `NEVER` on entry, and where there is no row.
        latest: (G, S, U) alike.
    """
    groups, slices, users = latest.shape
    for user in range(users):
        for row in range(starts[user], starts[user + 1]):
            at = calendar[begin[row]]
            if at >= slices:
                continue
            if first[at, user] == NEVER:
                first[at, user] = moment[row]
            for group in range(groups):
                if is_in[group, kind[row]]:
                    latest[group, at, user] = moment[row]
        for at in range(1, slices):
            if first[at - 1, user] != NEVER and (first[at, user] == NEVER or first[at, user] > first[at - 1, user]):
                first[at, user] = first[at - 1, user]
            for group in range(groups):
                latest[group, at, user] = max(latest[group, at, user], latest[group, at - 1, user])


@njit(cache=True, nogil=True)
def gaps(
    starts: Ints, moment: Ints, day: Days, begin: Days, end: Days, calendar: Days, result: NDArray[np.float64]
) -> None:
    """Describe the gaps between successive days with a row: `result` (7, S, U), NaN on entry and where undefined.

    The seven are the mean, median, sample standard deviation, last and longest gap in days, and the times of the newest
    and of the oldest row in microseconds. Rows of a user are in the order of `moment` (N,); those that are not valid at
    an as-of are skipped.
    """
    slices, users = result.shape[1], result.shape[2]
    for user in range(users):
        low, high = starts[user], starts[user + 1]
        lengths = np.empty(high - low, np.float64)
        for at in range(slices):
            count, total, squares, previous = 0, 0.0, 0.0, -1
            for row in range(low, high):
                if calendar[begin[row]] > at or calendar[end[row]] <= at:
                    continue
                result[5, at, user] = moment[row]
                if previous < 0:
                    result[6, at, user] = moment[row]
                if previous >= 0 and day[row] > previous:
                    lengths[count] = day[row] - previous
                    total += lengths[count]
                    squares += lengths[count] * lengths[count]
                    count += 1
                previous = day[row]
            if count == 0:
                continue
            result[0, at, user] = total / count
            result[1, at, user] = np.median(lengths[:count])
            if count > 1:
                result[2, at, user] = np.sqrt((count * squares - total * total) / (count * (count - 1)))
            result[3, at, user] = lengths[count - 1]
            result[4, at, user] = lengths[:count].max()
