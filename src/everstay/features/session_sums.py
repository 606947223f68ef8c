"""Sums of sessions: how many, how deep, how long."""

from collections.abc import Collection

from everstay import tables as t
from everstay.features.blocks import Block, Columns, Inputs, asked_for, is_own, is_type, with_windows, zeros
from everstay.features.ledger import MINUTE
from everstay.features.session_kernel import VALUES, session_sums

BREAK_MINUTES = 30
"""A longer break between events without session id begins a new session."""


def _sessions(inputs: Inputs, names: Collection[str]) -> Columns:
    ledger = inputs.ledger
    words, windows = asked_for(names, VALUES)
    if not words:
        return
    session, ids = ledger.codes(t.SESSION_ID)
    sums = zeros(ledger, len(VALUES), len(windows))
    session_sums(
        ledger.starts, session, len(ids), is_own(ledger), is_type(ledger, t.PURCHASE), ledger.moment, ledger.day,
        ledger.begin, ledger.calendar.table, windows, BREAK_MINUTES * MINUTE, sums,
    )  # fmt: skip
    yield from with_windows(VALUES, windows, sums)


SESSIONS = Block(dict.fromkeys(VALUES, (t.SESSION_ID,)), _sessions)
