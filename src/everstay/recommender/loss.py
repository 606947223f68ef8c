"""The softmax loss of baskets: the negative log-likelihood of the items of the next order.

Shapes: Q = questions, N = candidate columns, G = targets (pairs of a question and an item of its next basket).
"""

import math

import torch
from torch import Tensor


def log_partition(
    logits: Tensor, candidates: Tensor, target_logits: Tensor, target_question: Tensor, target_item: Tensor, items: int
) -> Tensor:
    """Logarithm of the softmax's denominator over all items, exact when `candidates` are all items.

    A question's own targets are counted exactly; the other items are represented by the candidates that are not its
    targets, each standing for equally many of them (uniform sampling, shared by all questions).

    Args:
        logits: (Q, N) of the candidates.
        candidates: (N,) distinct item indices, ascending.
        target_logits: (G,).
        target_question: (G,).
        target_item: (G,) different within a question.
        items: size of the vocabulary.

    Returns:
        (Q,)
    """
    questions = logits.shape[0]
    place = torch.searchsorted(candidates, target_item).clamp(max=len(candidates) - 1)
    is_candidate = candidates[place] == target_item
    masked = logits.index_put(
        (target_question[is_candidate], place[is_candidate]), logits.new_tensor(-math.inf), accumulate=False
    )
    targets = torch.bincount(target_question, minlength=questions)
    inside = torch.bincount(target_question[is_candidate], minlength=questions)
    stands_for = (items - targets).clamp(min=1) / (len(candidates) - inside).clamp(min=1)
    others = masked.logsumexp(dim=1) + stands_for.log()
    return torch.logaddexp(others, segment_logsumexp(target_logits, target_question, questions))


def segment_logsumexp(values: Tensor, segment: Tensor, segments: int) -> Tensor:
    """Log-sum-exp of values (n,) per segment (n,) -> (segments,); minus infinity where a segment is empty."""
    top = values.new_full((segments,), -math.inf).scatter_reduce(0, segment, values.detach(), "amax")
    shifted = (values - top[segment]).exp()
    total = values.new_zeros(segments).index_add(0, segment, shifted)
    is_empty = total == 0
    return torch.where(is_empty, -math.inf, torch.where(is_empty, 1.0, total).log() + top)


def basket_loss(log_probability: Tensor, question: Tensor, questions: int, list_length: int) -> Tensor:
    """Sum over targets of -log p / min(basket size, list length), divided by the number of questions.

    So a target weighs about as much as a hit in NDCG at that length: less in a larger basket, but never less than one
    place of the list. (With 1 / basket size, recall improves and NDCG does not.)

    Args:
        log_probability: (G,) of the targets.
        question: (G,).
        questions: Q; questions without targets are ignored.
        list_length: places of a list.
    """
    counts = torch.bincount(question, minlength=questions)
    weights = 1.0 / counts[question].clamp(max=list_length)
    return -(log_probability * weights).sum() / (counts > 0).sum().clamp(min=1)
