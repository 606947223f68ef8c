"""Settings of the lists and of the models that make them: the section `[recommender]`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from everstay.source_settings import AnyNames, Days, Names, Section, UserAttribute

AlreadyBought = Literal["keep", "after_gap", "remove"]
"""A list may repeat what the user bought: always; once the item's usual gap between purchases has passed; never."""


class Lists(Section):
    """The last step before a list is sent: the shop's rules, which require no training."""

    already_bought_by_category: dict[str, AlreadyBought] = Field(default_factory=dict)
    """Policy per category or subcategory, for example `{wine = "remove"}`; the subcategory's takes precedence."""
    blocked_categories: AnyNames[str] = ()
    """Categories and subcategories that are never recommended."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """Weight of dissimilarity to the items above in the list, by category and subcategory; 0: lists are unchanged."""
    freshness: float = Field(default=0.0, ge=0, le=1)
    """Weight of being new in the shop; 0: lists are unchanged."""
    fresh_half_life_days: float = Field(default=28.0, gt=0)
    """Days on sale after which an item's gain from freshness has halved."""


RecommenderCandidate = Literal[
    "popularity", "segment_popularity", "category_popularity", "personal_frequency", "item_neighbours",
    "user_neighbours", "association_rules", "content", "network", "hybrid",
    "item_item", "ease", "transitions", "ials", "rating_factors", "sequential", "gru", "blend",
]  # fmt: skip


class Recommender(Section):
    """What a list is, and how it is learned."""

    horizon_days: Days = 28
    """The next basket counts when it comes within this many days after the as-of."""
    list_length: int = Field(default=10, gt=0, le=1_000)
    """Items in a user's list; models are judged at this length too."""
    candidates: Names[RecommenderCandidate] = (
        "popularity", "personal_frequency", "item_neighbours", "network",
    )  # fmt: skip
    """In the order in which they are judged."""
    members: int = Field(default=1, gt=0, le=20)
    """Networks of different seeds that `sequential`, `gru` and `blend` average: better lists, and training, serving and
    memory of a network as many times."""
    min_item_users: int = Field(default=5, gt=0)
    """An item enters the vocabulary when this many users bought it before the as-of."""
    already_bought: AlreadyBought = "keep"
    """Whether a list may repeat what the user bought before; models are chosen and judged under it."""
    segment_by: UserAttribute | None = None
    """A declared attribute of `users`: with every candidate, users without purchases get what is popular among users
    with the same value; none: what is popular among all users, and no attribute is read."""
    lists: Lists = Lists()

    @model_validator(mode="after")
    def _segments_are_named(self) -> Self:
        if "segment_popularity" in self.candidates and self.segment_by is None:
            raise ValueError("candidates list segment_popularity: set segment_by to a user attribute")
        return self

    @property
    def list_rules(self) -> str:
        """What decides a published list besides model and data, as one line of JSON."""
        return self.model_dump_json(include={"list_length", "already_bought", "lists"})
