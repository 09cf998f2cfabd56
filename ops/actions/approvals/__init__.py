"""The two-man rule (spec 3.2): freeze what is asked, count votes under the request's lock, run exactly that.

Assume every function runs concurrently with itself. Locks: desk state, then the request, then what the
action locks, then the audit head. The desk comes first because HOLD, which holds it, voids open requests: the
other way round a vote and a HOLD would wait for each other (ADR 5). The database refuses self-approval, a
second vote, a vote on another payload and a second use by itself.
"""

from ops.actions.approvals.asking import cancel, create, expire, find
from ops.actions.approvals.running import apply, apply_at_start
from ops.actions.approvals.shape import as_dict
from ops.actions.approvals.voting import vote, withdraw

__all__ = ["apply", "apply_at_start", "as_dict", "cancel", "create", "expire", "find", "vote", "withdraw"]
