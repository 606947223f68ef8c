"""Kernels that count each user's rows by code (category, brand, type, item), at every as-of, and sum over the codes.

Shapes and arguments as in `kernels`. A user's counts by code are kept as differences over the as-ofs; the work is
linear in the rows, and in the user's distinct codes times the as-ofs.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.features.kernels import Days, Ints, longest

UNIT = 1 << 32
"""Fixed-point units of information per nat."""


@njit(cache=True, nogil=True)
def count_codes(
    starts: Ints, code: Days, codes: int, value: Ints, day: Days, begin: Days, end: Days, calendar: Days,
    windows: Days, weight: Ints, result: Ints,
) -> None:  # fmt: skip
    """Sum `value` by code within window, as-of and user, and describe these counts in `result` (4, W, S, U).

    The four are their total, their spread (total × entropy, in units of 1 / `UNIT` nat), the largest of them, and their
    sum weighted by `weight` (S, codes). `result` must be zero on entry.

    Args:
        starts: see `kernels`.
        code: (N,) 0 to `codes` - 1; rows with a negative one are left out.
        codes: number of codes.
        value: (N,) not negative.
        day: (N,) of the event.
        begin: see `kernels`.
        end: see `kernels`.
        calendar: see `kernels`.
        windows: (W,) lengths in days.
        weight: of a code at an as-of.
        result: see above.
    """
    slices, users = result.shape[2], result.shape[3]
    owner = np.full(codes, -1, np.int64)
    place = np.empty(codes, np.int64)
    widest = min(longest(starts), codes)
    changes, used = np.empty((widest, slices), np.int64), np.empty(widest, np.int64)
    for user in range(users):
        for window in range(len(windows)):
            stamp = user * len(windows) + window
            count = 0
            for row in range(starts[user], starts[user + 1]):
                thing = code[row]
                if thing < 0:
                    continue
                first = calendar[begin[row]]
                last = min(calendar[end[row]], calendar[day[row] + windows[window] + 1])
                if first >= last:
                    continue
                if owner[thing] != stamp:
                    owner[thing] = stamp
                    place[thing] = count
                    used[count] = thing
                    changes[count] = 0
                    count += 1
                changes[place[thing], first] += value[row]
                if last < slices:
                    changes[place[thing], last] -= value[row]
            for number in range(count):
                held = 0
                for at in range(slices):
                    held += changes[number, at]
                    result[0, window, at, user] += held
                    result[1, window, at, user] -= information(held)
                    result[2, window, at, user] = max(result[2, window, at, user], held)
                    result[3, window, at, user] += held * weight[at, used[number]]
            for at in range(slices):
                result[1, window, at, user] += information(result[0, window, at, user])


@njit(cache=True, nogil=True)
def information(count: int) -> np.int64:
    """`count` × its natural logarithm, in units of 1 / `UNIT` nat; 0 for 0."""
    return np.int64(np.rint(count * np.log(count) * UNIT)) if count > 1 else np.int64(0)


@njit(cache=True, nogil=True)
def answers(
    starts: Ints, is_question: NDArray[np.bool_], is_answer: NDArray[np.bool_], moment: Ints, begin: Days, limit: int,
    result: Days,
) -> None:  # fmt: skip
    """Find the first day on which it is known that a question's row had an answer: `result` (N,), never on entry.

    An answer is a later row of the user, at most `limit` microseconds later.
    """
    for user in range(len(starts) - 1):
        for row in range(starts[user], starts[user + 1]):
            if not is_question[row]:
                continue
            for later in range(row + 1, starts[user + 1]):
                wait = moment[later] - moment[row]
                if wait > limit:
                    break
                if wait > 0 and is_answer[later]:
                    result[row] = min(result[row], max(begin[row], begin[later]))
