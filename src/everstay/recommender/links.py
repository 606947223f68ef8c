"""Which of a user's items a score owes most to, where it is a sum over them."""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender.histories import IntArray

Floats = NDArray[np.floating]
_Cells = tuple[NDArray[np.integer], NDArray[np.integer], Floats]  # of a sparse array: start of rows, columns, values


def strongest_links(own: sparse.csr_array, weights: sparse.csr_array, user: IntArray, item: IntArray) -> IntArray:
    """The item of each pair's user that adds most to the pair's item, the first of equals; -1 where none adds.

    Args:
        own: (users, items) what the user's items weigh.
        weights: (items, items), row = bought, column = recommended.
        user: (n,) of each pair.
        item: (n,) of each pair.
    """
    for cells in (own, weights):
        cells.sort_indices()
    found = np.empty(len(user), np.int64)
    _find(_cells(own), _cells(weights), user, item, found)
    return found


def _cells(rows: sparse.csr_array) -> _Cells:
    return rows.indptr, rows.indices, rows.data


@njit(cache=True, nogil=True)
def _find(own: _Cells, weights: _Cells, user: IntArray, item: IntArray, found: IntArray) -> None:
    start, bought, amount = own
    first, towards, weight = weights
    for pair in range(len(user)):
        largest, found[pair] = 0.0, -1
        for cell in range(start[user[pair]], start[user[pair] + 1]):
            source = bought[cell]
            low, high = first[source], first[source + 1]
            at = low + np.searchsorted(towards[low:high], item[pair])
            if at < high and towards[at] == item[pair] and amount[cell] * weight[at] > largest:
                largest, found[pair] = amount[cell] * weight[at], source
