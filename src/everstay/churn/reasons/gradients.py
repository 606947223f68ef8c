"""Integrated gradients of a churn network, from the base user to each row, by Gauss-Legendre quadrature.

The base user has every feature at its training mean (encoded: 0), none undefined, and the mean encoded history of the
training rows. The inputs of the network's head are attributed: the encoded features one by one, and the encoding of
the day tokens as one. Source: Sundararajan et al., ICML 2017.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from everstay.churn.batches import LengthBatches
from everstay.churn.network import ChurnNetwork

FloatArray = NDArray[np.float64]

POINTS = 32
_MOST_POINTS = 512
TOLERANCE = 1e-5
"""Largest difference, in log-odds, of a row's parts from its score; more points are used until it is met."""


def network_parts(network: ChurnNetwork, batches: LengthBatches) -> tuple[float, FloatArray]:
    """Base and parts (N, E + 1) of the log-odds of churning; the last column is the history's.

    Computed in double precision: the sum is the served score up to the rounding of single precision.
    """
    exact = copy.deepcopy(network).double().eval().requires_grad_(False)
    width = batches.features.shape[1]
    parts = np.zeros((len(batches.features), width + 1))
    usual = torch.cat([torch.zeros(width, dtype=torch.float64), exact.usual_history])[None]
    for batch in batches:
        history = exact.read(batch.kinds, batch.numbers.double(), batch.lengths)
        inputs = torch.cat([batch.features.double(), history], dim=1)
        found = _integrate(exact, inputs, usual, width, POINTS).numpy()
        parts[batch.rows.numpy()] = np.hstack([found[:, :width], found[:, width:].sum(axis=1, keepdims=True)])
    return float(_log_odds(exact, usual, width)[0]), parts


def _integrate(network: ChurnNetwork, inputs: Tensor, usual: Tensor, width: int, points: int) -> Tensor:
    """Parts (B, E + H); rows whose parts do not add up to their score are redone with twice the points."""
    change = inputs - usual
    gradient = torch.zeros_like(inputs)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        place = (usual + float(node) * change).requires_grad_(True)
        (slope,) = torch.autograd.grad(_log_odds(network, place, width).sum(), place)
        gradient += float(weight) * slope
    parts = gradient * change
    with torch.no_grad():
        gap = _log_odds(network, inputs, width) - _log_odds(network, usual, width) - parts.sum(dim=1)
    rough = gap.abs() > TOLERANCE
    if points < _MOST_POINTS and bool(rough.any()):
        parts[rough] = _integrate(network, inputs[rough], usual, width, 2 * points)
    return parts


def _log_odds(network: ChurnNetwork, inputs: Tensor, width: int) -> Tensor:
    return network.head(inputs[:, :width], inputs[:, width:])[:, 0]
