"""How every network is trained: one seeded Lightning Trainer, its learning curves, its checkpoints, its resumption.

Use, in this order, because the seed also governs a network's initial weights:

    trainer = make_trainer(settings.training, folder=folder / "checkpoints", monitor="validation_loss", mode="min")
    module = ChurnModule(ChurnNetwork(config), config)
    curves = fit_network(trainer, module, train_batches, validation_batches)

A killed run is resumed by the same three lines and ends with the same weights as an uninterrupted one: every epoch
draws its random numbers from (seed, epoch), and `set_epoch` lets the batches do the same.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as lightning
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn

from everstay.device_batches import DeviceBatches
from everstay.errors import SettingsError
from everstay.settings import Training

log = logging.getLogger(__name__)

BEST = "best.ckpt"
LAST = "last.ckpt"

_CHATTY = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")


_WATCH: ContextVar[Callable[[float], None] | None] = ContextVar("_WATCH", default=None)


@contextmanager
def watch_epochs(watch: Callable[[float], None]) -> Iterator[None]:
    """Within the block, call `watch` with every epoch's monitored value, higher is better; it may raise to stop."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class LearningCurves(Callback):
    """Collects what a module logs, epoch by epoch, and writes one log line per epoch.

    Attributes:
        curves: name of a logged quantity to its value after each epoch.
        monitor: the quantity that decides which epoch is best; None: the last epoch is.
        mode: whether a small or a large `monitor` is better.
    """

    def __init__(self, monitor: str | None, mode: Literal["min", "max"]) -> None:
        self.monitor = monitor
        self.mode = mode
        self.curves: dict[str, list[float]] = {}
        self._started = 0.0

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return max(map(len, self.curves.values()), default=0)

    @property
    def best_epochs(self) -> int:
        """How many epochs of training gave the best `monitor`; the first if tied. With no monitor, all of them."""
        if self.monitor is None or not self.curves.get(self.monitor):
            return self.epochs
        values = self.curves[self.monitor]
        return values.index(max(values) if self.mode == "max" else min(values)) + 1

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Note the time."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Record and log the epoch's values."""
        values = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)
        told = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        seconds = time.monotonic() - self._started
        name = type(pl_module).__name__
        log.info("%s epoch %d: %s (%.1f s)", name, trainer.current_epoch + 1, told, seconds)
        watch = _WATCH.get()
        if watch is not None and self.monitor is not None:
            watch(values[self.monitor] if self.mode == "max" else -values[self.monitor])

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint keeps."""
        return {"curves": self.curves}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of a checkpoint."""
        self.curves = {name: list(values) for name, values in state_dict["curves"].items()}


class _EpochSeed(Callback):
    """Draws every epoch's random numbers from (seed, epoch), so that a resumed run equals an uninterrupted one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        torch.manual_seed(self._seed * 1_000_003 + trainer.current_epoch)
        set_epoch = getattr(trainer.train_dataloader, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(trainer.current_epoch)


class _Patience(EarlyStopping):
    """Early stopping that stays stopped: a run killed after its last epoch does not train another one."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def make_trainer(
    training: Training,
    *,
    folder: Path,
    monitor: str | None,
    mode: Literal["min", "max"] = "min",
    patience: int = 5,
    max_epochs: int | None = None,
    gradient_clip: float = 1.0,
) -> lightning.Trainer:
    """Seed everything and return the Trainer of one network.

    Args:
        training: where to train, for how long at most, from which seed.
        folder: holds this run's checkpoints and nothing else; emptied by `fit_network` at the end.
        monitor: the logged quantity early stopping monitors; None: train all epochs and keep the last (a refit).
        mode: whether a small or a large `monitor` is better.
        patience: epochs without improvement before training stops.
        max_epochs: overrides `training.max_epochs`.
        gradient_clip: largest norm of the gradient.

    Raises:
        SettingsError: this machine, or Lightning, does not support the settings of training.
    """
    with _quiet(), _explained():
        lightning.seed_everything(training.seed, workers=True, verbose=False)
        return lightning.Trainer(
            accelerator=training.accelerator,
            devices=training.devices,
            strategy=training.strategy,
            precision="bf16-mixed" if _uses_cuda(training) else "32-true",
            max_epochs=max_epochs or training.max_epochs,
            gradient_clip_val=gradient_clip,
            callbacks=_callbacks(training.seed, folder, monitor, mode, patience),
            default_root_dir=folder,
            logger=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def check_trainer(training: Training) -> None:
    """Reject settings that this machine, or Lightning, does not support, before any training.

    Raises:
        SettingsError: as `make_trainer`.
    """
    with _quiet(), _explained():
        lightning.Trainer(
            accelerator=training.accelerator,
            devices=training.devices,
            strategy=training.strategy,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def _callbacks(
    seed: int, folder: Path, monitor: str | None, mode: Literal["min", "max"], patience: int
) -> list[Callback]:
    """In the order in which they act; Lightning moves the checkpoints to the end."""
    callbacks: list[Callback] = [_EpochSeed(seed), LearningCurves(monitor, mode)]
    if monitor is not None:
        callbacks.append(_Patience(monitor, mode=mode, patience=patience))
        callbacks.append(_checkpoint(folder, BEST, monitor, mode, save_weights_only=True))
    callbacks.append(_checkpoint(folder, LAST, None, mode, save_weights_only=False))
    return callbacks


def _checkpoint(
    folder: Path, name: str, monitor: str | None, mode: Literal["min", "max"], *, save_weights_only: bool
) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename=name.removesuffix(".ckpt"),
        monitor=monitor,
        mode=mode,
        save_weights_only=save_weights_only,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def fit_network(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    train: Iterable[Any],
    validation: Iterable[Any] | None = None,
) -> LearningCurves:
    """Train `module`, from its last checkpoint if there is one, and leave the best epoch's weights in it.

    Args:
        trainer: from `make_trainer`; has a monitor exactly when `validation` is given.
        module: logs the monitored quantity in its validation step.
        train: batches, which several devices divide; their `set_epoch(int)`, if any, is called before each epoch.
        validation: batches.

    Returns:
        The curves of all epochs, including those before a resumption.
    """
    curves = next(callback for callback in trainer.callbacks if isinstance(callback, LearningCurves))  # type: ignore[attr-defined]
    folder = Path(trainer.default_root_dir)
    last = folder / LAST
    if last.exists():
        log.info("%s: continuing from %s", type(module).__name__, last)
    with _quiet():
        trainer.fit(
            module,
            train_dataloaders=DeviceBatches(train),
            val_dataloaders=validation,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    if not trainer.interrupted:
        _restore_best(trainer, module, folder)
    return curves


def _restore_best(trainer: lightning.Trainer, module: lightning.LightningModule, folder: Path) -> None:
    """Load the best epoch's weights, if there are any, and remove the checkpoints."""
    best = folder / BEST
    if best.exists():
        module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
    trainer.strategy.barrier()  # every device has read it
    for checkpoint in (folder / LAST, best):
        checkpoint.unlink(missing_ok=True)
    module.eval()


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _uses_cuda(training: Training) -> bool:
    return training.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn Lightning's errors about its arguments, all of which come from the settings, into a `SettingsError`."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise SettingsError(f"accelerator, devices or strategy of [training] in the settings: {error}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners and inapplicable advice out of the log, within the block."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Batches are ready in memory: worker processes would only copy them.
            warnings.filterwarnings("ignore", "The '.*_dataloader' does not have many workers")
            # A checkpoint folder with a checkpoint in it is what resuming means.
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            # A refit has no later data to validate on.
            warnings.filterwarnings("ignore", "You defined a `validation_step` but have no `val_dataloader`")
            # pytorch-lightning 2.6 asks torch 2.13 for a class that torch is about to rename.
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
