"""Whether a model serves groups of users alike: figures per declared attribute, a page, and what evening out costs."""

from everstay.churn.fairness.figures import AttributeFigures, judge_attribute
from everstay.churn.fairness.mitigation import Price, mitigation_price, riskiest, riskiest_of_each
from everstay.churn.fairness.page import fairness_page

__all__ = [
    "AttributeFigures",
    "Price",
    "fairness_page",
    "judge_attribute",
    "mitigation_price",
    "riskiest",
    "riskiest_of_each",
]
