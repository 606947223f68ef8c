"""The Trainer factory: same seed same weights, a killed run equals an uninterrupted one, the best epoch is kept."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn

from everstay.errors import SettingsError
from everstay.settings import Training
from everstay.training import count_parameters, fit_network, make_trainer


class Batches:
    """Four batches of a noisy line, shuffled by epoch."""

    epoch: int | None = None

    def __init__(self, is_training: bool = False) -> None:
        self.is_training = is_training
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(64, 3, generator=generator)
        self.y = self.x.sum(1) + 0.1 * torch.randn(64, generator=generator)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        assert self.epoch is not None or not self.is_training
        order = torch.randperm(64, generator=torch.Generator().manual_seed(self.epoch or 0))
        for rows in order.split(16):
            yield self.x[rows], self.y[rows]


class Line(lightning.LightningModule):
    """A linear model with dropout that can be killed, and whose validation gets worse on request."""

    def __init__(self, killed_at: int | None = None, worse_from: int = 99) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Dropout(0.2), nn.Linear(3, 1))
        self.killed_at = killed_at
        self.worse_from = worse_from
        self.weights_after: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        if self.killed_at is not None and self.current_epoch >= self.killed_at:
            raise RuntimeError("killed")
        loss = nn.functional.mse_loss(self.net(batch[0])[:, 0], batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        loss = nn.functional.mse_loss(self.net(batch[0])[:, 0], batch[1])
        self.log("validation_loss", loss + (self.current_epoch + 1) * 10.0 * (self.current_epoch >= self.worse_from))

    def on_train_epoch_end(self) -> None:
        self.weights_after.append(self.net[1].weight.detach().clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def run(folder: Path, *, epochs: int = 4, monitor: str | None = "validation_loss", **line: int | None):
    trainer = make_trainer(Training(max_epochs=epochs), folder=folder, monitor=monitor, patience=2)
    module = Line(**line)
    return module, fit_network(trainer, module, Batches(is_training=True), Batches() if monitor else None)


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "a")
    second, _ = run(tmp_path / "b")
    assert torch.equal(first.net[1].weight, second.net[1].weight)


class Drawing(Line):
    """Draws a number as each epoch begins."""

    drawn: list[float]

    def on_train_epoch_start(self) -> None:
        self.drawn.append(torch.rand(1).item())


def test_the_seed_decides_the_first_weights_and_what_every_epoch_draws(tmp_path: Path) -> None:
    seen = []
    for seed in (1, 2):
        trainer = make_trainer(Training(seed=seed, max_epochs=2), folder=tmp_path / str(seed), monitor=None)
        module = Drawing()
        module.drawn = module.net[1].weight.flatten().tolist()
        fit_network(trainer, module, Batches(is_training=True))
        seen += module.drawn
    assert len(set(seen)) == 2 * (3 + 2)


class Steep(Line):
    """A loss so steep that its gradient must be cut."""

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return 1e6 * super().training_step(batch, index)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def test_no_step_is_longer_than_the_largest_gradient(tmp_path: Path) -> None:
    trainer = make_trainer(Training(max_epochs=1), folder=tmp_path, monitor=None, gradient_clip=0.5)
    module = Steep()
    before = module.net[1].weight.detach().clone()
    fit_network(trainer, module, Batches(is_training=True))
    assert 0 < (module.net[1].weight - before).norm() <= 4 * 0.5


def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, curves = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(tmp_path / "killed", killed_at=2)
    resumed, resumed_curves = run(tmp_path / "killed")
    assert len(resumed.weights_after) == 2
    assert resumed_curves.curves == curves.curves
    assert curves.epochs == 4
    assert torch.equal(whole.net[1].weight, resumed.net[1].weight)


def test_best_epoch_is_kept_and_training_stops_early(tmp_path: Path) -> None:
    module, curves = run(tmp_path, epochs=20, worse_from=3)
    assert curves.best_epochs == 3
    assert curves.epochs == 5  # patience 2
    assert torch.equal(module.net[1].weight, module.weights_after[2])
    assert not list(tmp_path.iterdir())


def test_a_run_killed_after_its_last_epoch_trains_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("everstay.training._restore_best", lambda *_: None)  # killed before the checkpoints are removed
        run(tmp_path, epochs=20, worse_from=3)
    resumed, curves = run(tmp_path, epochs=20, worse_from=3)
    assert resumed.weights_after == []
    assert curves.best_epochs == 3


def test_without_a_monitor_all_epochs_are_trained_and_the_last_is_kept(tmp_path: Path) -> None:
    module, curves = run(tmp_path, monitor=None)
    assert curves.best_epochs == 4
    assert set(curves.curves) == {"train_loss"}
    assert torch.equal(module.net[1].weight, module.weights_after[-1])


def test_nothing_is_printed_and_nothing_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level("INFO"):
        warnings.simplefilter("error")
        run(tmp_path, epochs=2)
    assert capsys.readouterr() == ("", "")
    assert [record.name for record in caplog.records] == ["everstay.training"] * 2
    assert "Line epoch 1: train_loss" in caplog.text


def test_parameters_are_counted() -> None:
    assert count_parameters(nn.Linear(3, 2)) == 8


@pytest.mark.parametrize("wrong", [{"accelerator": "gpuu"}, {"devices": 0}, {"devices": -1}, {"strategy": "dpp"}])
def test_what_lightning_does_not_know_is_told_as_a_setting(tmp_path: Path, wrong: dict[str, object]):
    with pytest.raises(SettingsError, match=r"strategy of \[training\] in the settings: "):
        make_trainer(Training.model_validate(wrong), folder=tmp_path, monitor=None)
