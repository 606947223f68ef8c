"""Work that is divided among threads is done once each, and PyTorch's own threads are as before."""

import threading

import numpy as np
import pytest
import torch

from everstay.recommender import threads
from everstay.recommender.threads import share_out


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch):
    """Two threads for PyTorch, on a machine of any number of cores."""
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_threads_share_the_users(two_threads: None):
    both, done, workers = threading.Barrier(2, timeout=30), np.zeros(10, int), set()

    def count(part: slice) -> None:
        if part.start in (0, 4):
            both.wait()  # neither can go on without the other
        assert torch.get_num_threads() == 1
        workers.add(threading.get_ident())
        done[part] += 1

    share_out(count, 10, 4)
    assert done.tolist() == [1] * 10
    assert len(workers) == 2
    assert torch.get_num_threads() == 2


def test_an_error_of_one_part_is_told_and_threads_are_given_back(two_threads: None):
    def fail(part: slice) -> None:
        raise ValueError(f"users from {part.start}")

    with pytest.raises(ValueError, match="users from 0"):
        share_out(fail, 10, 4)
    assert torch.get_num_threads() == 2
