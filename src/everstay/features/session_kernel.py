"""Sessions of each user at every as-of, from the events known by then. Shapes and arguments as in `kernels`.

A session has the rows of one session id; rows without an id are one session as long as the breaks between them are
short enough. It is dated by its first row. As more rows become known it grows in versions, each valid from one as-of
until another; where a user's rows become known in order of time, one pass gives them all. Users with late rows, which
may lengthen, join or shift earlier sessions, take one pass per as-of.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.features.kernels import Days, Ints, accumulate, longest

VALUES = ("sessions", "session_events", "session_time", "single_event_sessions", "buying_sessions")
"""What is summed up over sessions; time in microseconds from the first row to the last."""


@njit(cache=True, nogil=True)
def session_sums(
    starts: Ints, session: Days, sessions: int, is_own: NDArray[np.bool_], is_purchase: NDArray[np.bool_],
    moment: Ints, day: Days, begin: Days, calendar: Days, windows: Days, longest_break: int, sums: Ints,
) -> None:  # fmt: skip
    """Sum `VALUES` per window, as-of and user into `sums` (5, W, S, U), which must be zero on entry.

    `session` (N,) is the number of the session id, 0 to `sessions` - 1, negative without one. Rows that are not the
    user's own (N,) belong to no session. Up to `longest_break` microseconds lie between rows of a session without id.
    """
    slices, users = sums.shape[2], sums.shape[3]
    widest = longest(starts)
    owner, place = np.full(sessions, -1, np.int64), np.empty(sessions, np.int64)
    opened, seen = np.empty(widest, np.int64), np.empty(widest, np.int64)
    on, since = np.empty(widest, np.int32), np.empty(widest, np.int32)
    held, buys = np.empty(widest, np.int64), np.empty(widest, np.bool_)
    for user in range(users):
        low, high = starts[user], starts[user + 1]
        passes = 1 if in_order(low, high, is_own, begin, calendar, slices) else slices
        for at in range(passes):
            horizon = slices if passes == 1 else at + 1
            count, current = 0, -1
            for row in range(low, high):
                first = calendar[begin[row]]
                if not is_own[row] or first >= horizon:
                    continue
                if passes > 1:
                    first = np.int32(at)
                slot = -1
                if session[row] >= 0:
                    if owner[session[row]] == user * slices + at:
                        slot = place[session[row]]
                elif current >= 0 and moment[row] - seen[current] <= longest_break:
                    slot = current
                if slot < 0:
                    slot = count
                    count += 1
                    opened[slot], on[slot], since[slot], held[slot], buys[slot] = moment[row], day[row], first, 0, False
                    if session[row] >= 0:
                        owner[session[row]], place[session[row]] = user * slices + at, slot
                    else:
                        current = slot
                elif first > since[slot]:
                    length = seen[slot] - opened[slot]
                    add(sums, user, on[slot], since[slot], first, calendar, windows, held[slot], length, buys[slot])
                    since[slot] = first
                seen[slot] = moment[row]
                held[slot] += 1
                buys[slot] |= is_purchase[row]
            for slot in range(count):
                length = seen[slot] - opened[slot]
                add(sums, user, on[slot], since[slot], horizon, calendar, windows, held[slot], length, buys[slot])
    accumulate(sums)


@njit(cache=True, nogil=True)
def in_order(low: int, high: int, is_own: NDArray[np.bool_], begin: Days, calendar: Days, slices: int) -> bool:
    """Whether rows become known in the order in which they happened."""
    latest = 0
    for row in range(low, high):
        first = calendar[begin[row]]
        if is_own[row] and first < slices:
            if first < latest:
                return False
            latest = first
    return True


@njit(cache=True, nogil=True)
def add(
    sums: Ints, user: int, day: int, since: int, until: int, calendar: Days, windows: Days, held: int, length: int,
    buys: bool,
) -> None:  # fmt: skip
    """Add a version of a session, valid at the as-ofs from `since` until `until`."""
    for window in range(len(windows)):
        last = min(until, calendar[day + windows[window] + 1])
        if since >= last:
            continue
        for value in range(5):
            one = 1
            if value == 1:
                one = held
            elif value == 2:
                one = length
            elif (value == 3 and held > 1) or (value == 4 and not buys):
                one = 0
            sums[value, window, since, user] += one
            if last < sums.shape[2]:
                sums[value, window, last, user] -= one
