"""The trained network as a ranker."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812  # the name every PyTorch reader expects

from everstay.recommender.batches import Asked, Questioner
from everstay.recommender.histories import Histories, IntArray
from everstay.recommender.model import Scores
from everstay.recommender.network import Questions, RepeatNetwork
from everstay.recommender.network_config import NetworkConfig
from everstay.recommender.reasons import FITS, POPULAR, bought_before, due_again, first_known, heaviest
from everstay.recommender.repeats import track_repeats

_CLEAR_FIT = 1.0  # standard deviations above the mean item


@dataclass(frozen=True)
class NetworkRanker:
    """A network and how popular items were when it was fitted: `trends` (1, K, items)."""

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

        Repeating: that the item is due, or how often and how lately it was bought. Exploring: that it fits the recent
        orders, or that it is popular.
        """
        questions = self._questions(histories)
        hidden = self.network.encode(questions)
        explore = F.log_softmax(self.network.explore_logits(hidden, questions), dim=1)
        repeat = self.network.repeat(hidden, questions)
        own = torch.full_like(explore, -torch.inf)
        own[questions.own_question, questions.own_item] = (
            repeat.log_repeat[questions.own_question] + repeat.log_own
        )  # fmt: skip
        repeats, explores = (
            part.cpu().numpy()[user, item] for part in (own, explore + repeat.log_explore[:, None])
        )  # fmt: skip
        fit = hidden @ self.network.embedding.weight.T
        clear = (fit - fit.mean(dim=1, keepdim=True)) / fit.std(dim=1, keepdim=True) >= _CLEAR_FIT
        fits = clear.cpu().numpy()[user, item] & (histories.order_counts[user] > 0)
        bought = first_known(due_again(histories, user, item), bought_before(histories, user, item), otherwise="")
        new = first_known((fits, FITS), otherwise=POPULAR)
        return heaviest([(repeats, pl.Series(bought)), (explores, pl.Series(new))])

    def _questions(self, histories: Histories) -> Questions:
        """What is asked when a list is wanted: everything before the as-of is seen."""
        users = np.arange(histories.user_count)
        asked = Asked(users, histories.user_start[1:], np.zeros(len(users), np.int64))
        questioner = Questioner(histories, track_repeats(histories), self.trends, self.config.max_orders)
        return questioner.ask(asked).to(self.network.bias.device)
