"""Kernels that group purchase lines into orders, and sum up an order as its lines become known.

Shapes: N rows of U users as in `kernels`, L of them lines of orders; O order rows, those of one order adjacent.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from everstay.features.kernels import Days, Ints


@njit(cache=True, nogil=True)
def number_orders(
    starts: Ints, is_line: NDArray[np.bool_], order: Days, codes: int, day: Days
) -> tuple[Ints, Ints, Ints]:
    """Number the order of each line; orders are numbered by their first lines.

    Args:
        starts: see `kernels`.
        is_line: (N,) whether the row is a line.
        order: (N,) code of the order's id, or negative: then the user's lines of the day are one order.
        codes: number of ids.
        day: (N,) of the row.

    Returns:
        The rows that are lines, their users and their orders: (L,) each.
    """
    count = 0
    for row in range(len(is_line)):
        count += is_line[row]
    lines, users, numbers = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    owner, known = np.full(codes, -1, np.int64), np.empty(codes, np.int64)
    line, orders = 0, 0
    for user in range(len(starts) - 1):
        last_day, of_day = -1, -1
        for row in range(starts[user], starts[user + 1]):
            if not is_line[row]:
                continue
            thing = order[row]
            number = orders
            if thing >= 0:
                if owner[thing] == user:
                    number = known[thing]
                owner[thing], known[thing] = user, number
            else:
                if day[row] == last_day:
                    number = of_day
                last_day, of_day = day[row], number
            if number == orders:
                orders += 1
            lines[line], users[line], numbers[line] = row, user, number
            line += 1
    return lines, users, numbers


@njit(cache=True, nogil=True)
def add_up(values: Ints, number: Ints) -> Ints:
    """Running sum (O,) over the rows of each order, of `values` (O,); `number` (O,) is the order's."""
    result = values.copy()
    for row in range(1, len(values)):
        if number[row] == number[row - 1]:
            result[row] += result[row - 1]
    return result


@njit(cache=True, nogil=True)
def earliest(moment: Ints, number: Ints) -> Ints:
    """The same with the minimum instead of the sum."""
    result = moment.copy()
    for row in range(1, len(moment)):
        if number[row] == number[row - 1]:
            result[row] = min(result[row], result[row - 1])
    return result
