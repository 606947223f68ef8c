"""The trained network as a ranker."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects

from everstay.recommender.batches import Asked, Questioner
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.network import Questions, RepeatNetwork
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.reasons import FITS, POPULAR, bought_before, due_again, first_known, heaviest
from everstay.recommender.repeats import track_repeats

_CLEAR_FIT = 1.0  # standard deviations above the mean item
_NO_PAIR = 2**62  # sorts after all pairs of a user and an own item


@dataclass(frozen=True)
class NetworkRanker:
    """A network and the popularity of items when it was fitted: `trends` (1, K, items)."""

    config: NetworkConfig
    network: RepeatNetwork
    trends: NDArray[np.float32]

    @torch.inference_mode()
    def scores(self, histories: Histories) -> Scores:
        """Log probabilities, (n, items)."""
        log_probability: Scores = self.network(self._questions(histories)).float().cpu().numpy()
        return log_probability

    @torch.inference_mode()
    def explain(self, histories: Histories, user: IntArray, item: IntArray) -> list[str]:
        """The part of the mixture that gives an item most of its probability.

        Repeat: that the item is due, or how often and how recently it was bought. Explore: that it fits the recent
        orders, or that it is popular.
        """
        questions, device = self._questions(histories), self.network.bias.device
        row, goal = torch.from_numpy(user).to(device), torch.from_numpy(item).to(device)
        hidden = self.network.encode(questions)
        repeats, explores = self._parts(hidden, questions, row, goal)
        fits = self._fits(hidden, row, goal).cpu().numpy() & (histories.order_counts[user] > 0)
        bought = first_known(due_again(histories, user, item), bought_before(histories, user, item), otherwise="")
        new = first_known((fits, FITS), otherwise=POPULAR)
        return heaviest([(repeats.cpu().numpy(), pl.Series(bought)), (explores.cpu().numpy(), pl.Series(new))])

    def _parts(self, hidden: Tensor, questions: Questions, row: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Log probabilities of pairs (n,) under the repeat and the explore part."""
        repeat, items = self.network.repeat(hidden, questions), self.trends.shape[2]
        own = F.pad(questions.own_question * items + questions.own_item, (0, 1), value=_NO_PAIR)
        place = torch.searchsorted(own, row * items + goal)
        repeats = repeat.log_repeat[row] + F.pad(repeat.log_own, (0, 1))[place]
        total = self.network.explore_logits(hidden, questions).logsumexp(dim=1)
        explores = self.network.explore_logits_at(hidden, questions, row, goal) - total[row] + repeat.log_explore[row]
        return repeats.where(own[place] == row * items + goal, -torch.inf), explores

    def _fits(self, hidden: Tensor, row: Tensor, goal: Tensor) -> Tensor:
        """Whether items are clearly nearer to the recent orders than the mean item is (n,)."""
        weight = self.network.embedding.weight
        nearer = (hidden[row] * (weight[goal] - weight.mean(dim=0))).sum(dim=1)
        deviation = ((hidden @ weight.T.cov()) * hidden).sum(dim=1).sqrt()
        return nearer >= _CLEAR_FIT * deviation[row]

    def _questions(self, histories: Histories) -> Questions:
        """The questions at serving time: everything before the as-of is seen."""
        users = np.arange(histories.user_count)
        asked = Asked(users, histories.user_start[1:], np.zeros(len(users), np.int64))
        questioner = Questioner(histories, track_repeats(histories), self.trends, self.config.max_orders)
        return questioner.ask(asked).to(self.network.bias.device)
