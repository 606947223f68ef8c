"""Settings of money and of fairness: the sections `[value]` and `[fairness]`."""

from pydantic import Field

from everstay.source_settings import AnyNames, Days, Section, UserAttribute


class Value(Section):
    """What users are worth and what keeping them costs; money is in the shop's currency."""

    horizon_days: Days = 84
    """A user's value is what they are expected to pay within this many days."""
    margin: float = Field(default=0.25, gt=0, le=1)
    """Share of what is paid that the shop keeps."""
    contact_cost: float = Field(default=0.5, ge=0)
    """Cost of contacting one user, whatever they do."""
    offer_cost: float = Field(default=5.0, ge=0)
    """Cost of the offer, once a user takes it: leavers who accept, and all who would have stayed anyway."""
    acceptance_alpha: float = Field(default=6.0, gt=0)
    """The share of leavers who accept and stay is beta distributed with this and `acceptance_beta`."""
    acceptance_beta: float = Field(default=14.0, gt=0)
    """The larger, the smaller the mean share, alpha / (alpha + beta)."""
    budget: float | None = Field(default=None, gt=0)
    """The most that one campaign may cost; none: no limit, and tier `high` is the `high_risk_share` of `[churn]`."""

    @property
    def acceptance(self) -> float:
        """Mean share of leavers who accept."""
        return self.acceptance_alpha / (self.acceptance_alpha + self.acceptance_beta)


class Fairness(Section):
    """Which groups of users a model is evaluated for, and whether warnings are evened out between them."""

    attributes: AnyNames[UserAttribute] = ("age_band", "income_band", "household_size")
    """Declared attributes of `users`; churn models are judged by them, and never read them."""
    min_users: int = Field(default=50, ge=10)
    """Smaller groups are listed but not judged: their figures would be noise, and could identify people."""
    mitigate: UserAttribute | None = None
    """Warn about the same share of every group of this attribute; none: the riskiest users, whoever they are."""
