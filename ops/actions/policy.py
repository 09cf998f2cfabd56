"""How many other people an action needs, and of which role (spec 3.2): the configuration's quorum, unless the
action's own policy row says otherwise. Never zero: schema and CHECK see to it."""

from dataclasses import dataclass
from typing import Any

from ops import config
from ops.actions.base import Action
from ops.config import ControlConfig
from ops.models import ApprovalPolicy


@dataclass(frozen=True, slots=True)
class Requirement:
    """quorum: people other than the requester. vote_from: a role of which one of them must be, or empty."""

    quorum: int
    vote_from: str


def requirement(action: Action[Any]) -> Requirement:
    row = ApprovalPolicy.objects.filter(action=action.name).first()
    quorum = row.quorum if row else None
    return Requirement(quorum or default_quorum(), (row.vote_from if row else "") or action.vote_from)


def default_quorum() -> int:
    """The profile's, from the running configuration."""
    return config.active().section(ControlConfig).quorum
