"""Cornac's next-basket models on the benchmark's own baskets: writes their lists of ten.

A user for whom a model finds fewer items gets the most bought ones after them. GPTop ranks by the user's own baskets
before global popularity; TIFU-KNN has its authors' settings for Dunnhumby.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from cornac.data import BasketDataset
from cornac.models import TIFUKNN, GPTop

K = 10
MODELS = {
    "GPTop": lambda: GPTop(use_global_popularity=False),
    "TIFU-KNN": lambda: TIFUKNN(
        n_neighbors=900, within_decay_rate=0.9, group_decay_rate=0.6, alpha=0.2, n_groups=3, verbose=False
    ),
}


def main(name: str, baskets: Path, output: Path) -> None:
    """Fit on `baskets` (`user`, `basket`, `item`, sorted by time) and write `user`, `rank`, `item`."""
    lines = pd.read_parquet(baskets)
    data = BasketDataset.build(lines[["user", "basket", "item"]].itertuples(index=False, name=None), fmt="UBI")
    items = np.array(list(data.iid_map))
    popularity = np.bincount(data.uir_tuple[1], minlength=len(items))
    began = time.perf_counter()
    model = MODELS[name]().fit(data)
    lists = []
    for users, _, [history] in data.ubi_iter(batch_size=1, shuffle=False):
        scores = model.score(users[0], history)
        # popularity only orders what the model itself does not
        order = np.lexsort((-popularity, -np.asarray(scores, dtype=np.float64)))[:K]
        lists.append((users[0], order))
    print(f"{name}: {time.perf_counter() - began:.0f} s for {len(lists)} users, {Counter(map(len, lists))}")
    ids = np.array(list(data.uid_map))
    table = {
        "user": np.repeat(ids[[user for user, _ in lists]], K),
        "rank": np.tile(np.arange(1, K + 1), len(lists)),
        "item": items[np.concatenate([order for _, order in lists])],
    }
    pd.DataFrame(table).to_parquet(output)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
