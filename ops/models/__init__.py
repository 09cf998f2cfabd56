"""The control frame's rows. Written only by the runner, the actions and the services of this app.

What a control rests on is enforced by the database as well: `migrations/0002_controls.py`.
"""

from ops.models.approvals import ApprovalPolicy, ApprovalRequest, Envelope, IdempotencyKey, Vote
from ops.models.audit import AuditEntry, AuditHead
from ops.models.config import ConfigVersion
from ops.models.desk import DeskState, HoldCause, Mode
from ops.models.health import ProcessHeartbeat, ScheduleClaim
from ops.models.incidents import Incident, IncidentEvent
from ops.models.notifications import Delivery
from ops.models.people import SealedSecret, SecondFactor, Token, User

__all__ = [
    "ApprovalPolicy",
    "ApprovalRequest",
    "AuditEntry",
    "AuditHead",
    "ConfigVersion",
    "Delivery",
    "DeskState",
    "Envelope",
    "HoldCause",
    "IdempotencyKey",
    "Incident",
    "IncidentEvent",
    "Mode",
    "ProcessHeartbeat",
    "ScheduleClaim",
    "SealedSecret",
    "SecondFactor",
    "Token",
    "User",
    "Vote",
]
