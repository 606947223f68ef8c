"""RecTools' SASRec on a sequence file: `train_sasrec.py FILE EPOCHS WIDTH BLOCKS HEADS LENGTH`; reports every epoch.

Trained on all but the last two items; judged on the last but one by full ranking, without items that the user has.
Judging is not counted in the seconds.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pytorch_lightning import Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

K = 10


def main(file: str, epochs: int, width: int, blocks: int, heads: int, length: int) -> None:
    """Train epoch by epoch."""
    warnings.filterwarnings("ignore")
    learned, targets = read(file)
    dataset = Dataset.construct(learned)
    model = SASRecModel(
        n_factors=width, n_blocks=blocks, n_heads=heads, session_max_len=length, loss="sampled_softmax",
        n_negatives=256, batch_size=128, lr=1e-3, dropout_rate=0.2, deterministic=True, verbose=0,
        get_trainer_func=make_trainer,
    )  # fmt: skip
    ndcg, ends, seconds = [], [], 0.0
    for _ in range(epochs):
        began = time.perf_counter()
        model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        seconds += time.perf_counter() - began
        ends.append(seconds)
        ndcg.append(judge(model, dataset, targets))
        print(ends, ndcg, file=sys.stderr, flush=True)
    sequences = int((learned.groupby(Columns.User).size() > 1).sum())
    told = {"seconds": seconds, "sequences": sequences, "ndcg": ndcg, "ends": ends}
    print(json.dumps(told))


def make_trainer() -> Trainer:
    """On the CPU, without files."""
    return Trainer(
        max_epochs=1, min_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip


def read(file: str) -> tuple[pd.DataFrame, dict[int, int]]:
    """All but the last two items of users with at least three, all items of others; and the last but one as target."""
    rows, targets = [], {}
    with Path(file).open(encoding="utf-8") as lines:
        for line in lines:
            user, *items = map(int, line.split())
            if len(items) >= 3:
                targets[user], items = items[-2], items[:-2]
            rows += [(user, item, place) for place, item in enumerate(items)]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.Datetime] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame.pop("place"), unit="D")
    frame[Columns.Weight] = 1.0
    return frame, targets


def judge(model: SASRecModel, dataset: Dataset, targets: dict[int, int]) -> float:
    """Mean NDCG over all users with a target; users for whom the model has no list count as misses."""
    users = np.intersect1d(list(targets), dataset.user_id_map.external_ids)
    lists = model.recommend(users, dataset, k=K, filter_viewed=True, on_unsupported_targets="ignore")
    hit = lists[lists[Columns.Item] == lists[Columns.User].map(targets)]
    return float((1.0 / np.log2(1.0 + hit[Columns.Rank])).sum() / len(targets))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
