"""Quotation marks in a CSV file, followed here because the parser accepts unmatched ones.

A value is quoted when it begins with a mark (RFC 4180, section 2); within it two marks stand for one. An unclosed mark
makes one value of all rows up to the next mark, after which text goes on: that is how it is detected.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MARK, _NEW_LINE, _RETURN, _SPACE, _TAB = (ord(character) for character in '"\n\r \t')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ROW, _VALUE, _PLAIN, _QUOTED, _CLOSED, _PADDED = range(6)
"""States: at the start of a row; of a value; in a value; in a quoted one; after its end; in white space after that."""


class Quotations:
    """Follows a file's blocks in their order.

    Args:
        separator: between values, one ASCII character.

    Attributes:
        has_any: whether there was a mark.
        stray: rows with text after a closed quotation that were not taken yet, ascending; 0 = the header, empty lines
            are not counted.
    """

    def __init__(self, separator: str = ",") -> None:
        self.has_any = False
        self.stray = array("q")
        self._state, self._rows = _ROW, 0
        self._separator = ord(separator)

    @property
    def is_open(self) -> bool:
        """Whether a quotation is not closed yet."""
        return self._state == _QUOTED

    def follow(self, block: bytes) -> None:
        """Take the next bytes of the file."""
        if not self._rows:
            block = block.removeprefix(_BYTE_ORDER_MARK)
        if not block:
            return
        self.has_any = self.has_any or b'"' in block
        stray = np.empty(len(block) // 2 + 1 if self.has_any else 0, np.int64)
        told = np.frombuffer(block, np.uint8)
        self._state, self._rows, count = _follow(told, self._separator, self._state, self._rows, stray)
        self.stray.frombytes(np.unique(stray[:count]).tobytes())

    def take_stray(self, last: int) -> Sequence[int]:
        """Return the stray rows up to this one and forget them, as a file may consist of nothing else."""
        count = bisect_right(self.stray, last)
        taken = self.stray[:count]
        del self.stray[:count]  # in place: meanwhile a parser that reads ahead calls `follow` in its own thread
        return taken


@njit(cache=True, nogil=True)
def _follow(
    block: NDArray[np.uint8], separator: int, state: int, rows: int, stray: NDArray[np.int64]
) -> tuple[int, int, int]:
    """The state after the block, rows begun so far, and how many numbers of rows were written to `stray`."""
    count = 0
    for byte in block:
        if state == _QUOTED:
            if byte == _MARK:
                state = _CLOSED
        elif byte in (_NEW_LINE, _RETURN):
            state = _ROW
        else:
            if state == _ROW:
                rows += 1
                state = _VALUE
            if byte == separator:
                state = _VALUE
            elif byte == _MARK and state in (_VALUE, _CLOSED):
                state = _QUOTED
            elif byte in (_SPACE, _TAB) and state in (_CLOSED, _PADDED):
                state = _PADDED
            else:
                if state in (_CLOSED, _PADDED):
                    stray[count] = rows - 1
                    count += 1
                state = _PLAIN
    return state, rows, count
