"""Every device trains on its own part of the batches."""

from collections.abc import Iterator

import pytest
import torch.distributed

from everstay.device_batches import DeviceBatches


class Numbers:
    """Batches that are numbers, of an epoch."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        yield from range(100 * self.epoch, 100 * self.epoch + self.count)


def parts(batches: DeviceBatches, devices: int, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: devices)
    found = []
    for rank in range(devices):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        found.append(list(batches))
        assert len(found[-1]) == len(batches)
    return found


def test_one_device_takes_all() -> None:
    batches = DeviceBatches(Numbers(5))
    batches.set_epoch(2)
    assert list(batches) == [200, 201, 202, 203, 204]
    assert len(batches) == 5


def test_several_devices_divide_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts(DeviceBatches(Numbers(6)), 2, monkeypatch) == [[0, 2, 4], [1, 3, 5]]


def test_where_they_do_not_suffice_the_last_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts(DeviceBatches(Numbers(5)), 3, monkeypatch) == [[0, 3], [1, 4], [2, 3]]
    assert parts(DeviceBatches(Numbers(1)), 2, monkeypatch) == [[0], [0]]


def test_batches_of_unknown_number_stay_so() -> None:
    with pytest.raises(TypeError):
        len(DeviceBatches(iter([1, 2])))
