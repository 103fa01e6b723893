"""The part of `engine.yaml` that says how odd orders are treated."""

from typing import Annotated

from pydantic import Field

from engine.config.section import Account, Section
from engine.domain.values import (
    AccountId,
    ExternalPolicy,
    OrderPolicy,
    SightingPolicy,
    UnprotectedPolicy,
)


class AccountOrders(Section):
    """How an account's odd orders are treated."""

    external: Annotated[ExternalPolicy, Field(strict=False)] = Field(
        default=ExternalPolicy.OBSERVE,
        description="observe, adopt or cancel (orders that others made at the broker)",
    )
    late_sighting: Annotated[SightingPolicy, Field(strict=False)] = Field(
        default=SightingPolicy.CANCEL,
        description="cancel or keep (the rest of an order that was proven absent and is not)",
    )
    unprotected: Annotated[UnprotectedPolicy, Field(strict=False)] = Field(
        default=UnprotectedPolicy.ALARM,
        description="alarm, cancel_entry or replace_exit (a bracket without its exit)",
    )

    @property
    def policy(self) -> OrderPolicy:
        """The same in the words of the domain."""
        return OrderPolicy(
            external=self.external, late_sighting=self.late_sighting, unprotected=self.unprotected
        )


class Orders(AccountOrders):
    """How odd orders are treated: everywhere, and otherwise for some accounts."""

    accounts: dict[Account, AccountOrders] = Field(
        default_factory=dict, description="a mapping of account ids to the same keys"
    )

    def policy_of(self, account: AccountId) -> OrderPolicy:
        """Return the account's policy: its own if it has one, whole, else everybody's."""
        return self.accounts.get(account, self).policy
