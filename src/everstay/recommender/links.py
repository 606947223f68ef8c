"""Which of a user's items contributes most to a score that is a sum over them."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from everstay.recommender.histories import IntArray

Floats = NDArray[np.floating]
_Cells = tuple[NDArray[np.integer], NDArray[np.integer], Floats]  # of a sparse array: start of rows, columns, values


class Links(NamedTuple):
    """Contributions of the user's items to pairs (n,) of a user and an item.

    Attributes:
        strongest: the item that contributes most, the first if tied; -1 if none does.
        total: sum of all contributions.
    """

    strongest: IntArray
    total: NDArray[np.float64]


def find_links(own: sparse.csr_array, weights: sparse.csr_array, user: IntArray, item: IntArray) -> Links:
    """Contributions of each user's items to the item of the pair.

    Args:
        own: (users, items) weights of the user's items.
        weights: (items, items), row = bought, column = recommended.
        user: (n,) of each pair.
        item: (n,) of each pair.
    """
    for cells in (own, weights):
        cells.sort_indices()
    links = Links(np.empty(len(user), np.int64), np.empty(len(user)))
    _find(_cells(own), _cells(weights), user, item, links)
    return links


def _cells(rows: sparse.csr_array) -> _Cells:
    return rows.indptr, rows.indices, rows.data


@njit(cache=True, nogil=True)
def _find(own: _Cells, weights: _Cells, user: IntArray, item: IntArray, links: Links) -> None:
    start, bought, amount = own
    first, towards, weight = weights
    for pair in range(len(user)):
        largest, links.strongest[pair], links.total[pair] = 0.0, -1, 0.0
        for cell in range(start[user[pair]], start[user[pair] + 1]):
            low, high = first[bought[cell]], first[bought[cell] + 1]
            at = low + np.searchsorted(towards[low:high], item[pair])
            if at < high and towards[at] == item[pair]:
                part = amount[cell] * weight[at]
                links.total[pair] += part
                if part > largest:
                    largest, links.strongest[pair] = part, bought[cell]
