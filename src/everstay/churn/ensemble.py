"""The network candidate as it is served: one or several networks of different seeds, their log-odds averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import expit

from everstay.churn.batches import LengthBatches
from everstay.churn.config import NetworkConfig
from everstay.churn.encoding import TYPES, FeatureEncoder, TokenEncoder
from everstay.churn.network import ChurnNetwork
from everstay.churn.reasons.attribution import HISTORY, Attribution, encoded_parts, mean_attribution, placed
from everstay.churn.reasons.gradients import network_parts
from everstay.churn.returns import OUTLOOKS, SHARES, returns

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkEncoder:
    """Rows -> batches: what was learned from the training rows besides the weights."""

    features: FeatureEncoder
    tokens: TokenEncoder

    @classmethod
    def fit(cls, rows: pl.DataFrame, config: NetworkConfig) -> "NetworkEncoder":
        """Learn from training rows."""
        return cls(
            FeatureEncoder.fit(rows), TokenEncoder.fit(rows, config.max_tokens, reads_weekdays=config.reads_weekdays)
        )

    def batches(self, rows: pl.DataFrame, batch_rows: int, seed: int | None = None) -> LengthBatches:
        """Encode `rows`; without label columns the outcomes are 0. A seed shuffles."""
        features = self.features.encode(rows).astype(np.float32)
        return LengthBatches(features, self.tokens.encode(rows), returns(rows), batch_rows, seed)

    def new_network(self, config: NetworkConfig) -> ChurnNetwork:
        """A network of matching widths, with weights from torch's current seed."""
        return ChurnNetwork(config, self.features.width, TYPES, self.tokens.width)


@dataclass(frozen=True)
class NetworkScorer:
    """Fitted networks with the encoder they were trained with."""

    config: NetworkConfig
    encoder: NetworkEncoder
    members: Sequence[ChurnNetwork]

    def scores(self, rows: pl.DataFrame) -> FloatArray:
        """Mean log-odds of the members."""
        return self._outlooks(rows)[:, 0]

    @property
    def is_curve(self) -> bool:
        """Whether the networks model hazards, so that silences fall with time."""
        return self.config.is_hazard

    def silences(self, rows: pl.DataFrame) -> FloatArray:
        """Chance of silence until the end of each quarter of the label window, (n, 4), before calibration.

        Falls with time if the network models hazards; `survival` turns it into curves.
        """
        order = np.argsort(SHARES)
        return expit(self._outlooks(rows)[:, order])

    def _outlooks(self, rows: pl.DataFrame) -> FloatArray:
        """Mean outlook of the members, (n, OUTLOOKS)."""
        batches = self.encoder.batches(rows, self.config.batch_rows)
        outlooks = np.zeros((rows.height, OUTLOOKS))
        with torch.inference_mode():
            for batch in batches:
                told = [member.eval().outlook(batch).double() for member in self.members]
                outlooks[batch.rows.numpy()] = torch.stack(told).mean(dim=0).numpy()
        return outlooks

    def attribute(self, rows: pl.DataFrame, usual: Mapping[str, float | None]) -> Attribution:  # noqa: ARG002
        """Integrated gradients of the members' mean, from the mean training user."""
        batches = self.encoder.batches(rows, self.config.batch_rows)
        members = []
        for member in self.members:
            base, parts = network_parts(member, batches)
            features = encoded_parts(parts[:, :-1], self.encoder.features)
            members.append(Attribution(base, features + placed(parts[:, -1:], (HISTORY,))))
        return mean_attribution(members)

    def remember_histories(self, rows: pl.DataFrame) -> None:
        """Store in each member its mean encoding of the histories of training rows: the baseline of attributions."""
        batches = self.encoder.batches(rows, self.config.batch_rows)
        with torch.inference_mode():
            for member in self.members:
                member.eval()
                read = [member.read(batch.kinds, batch.numbers, batch.lengths).double().sum(dim=0) for batch in batches]
                member.usual_history.copy_(torch.stack(read).sum(dim=0) / max(rows.height, 1))
