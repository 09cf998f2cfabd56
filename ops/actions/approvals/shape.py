"""A request as every face shows it (spec 6.1)."""

from typing import Any

from django.utils import timezone

from ops.models import ApprovalRequest, Vote


def as_dict(request: ApprovalRequest) -> dict[str, Any]:
    """A request whose time is over reads `expired` also before the sweep writes it."""
    late = request.open and request.expires_at <= timezone.now()
    return {
        "id": str(request.pk),
        "action": request.action,
        "target": request.target,
        "state": ApprovalRequest.State.EXPIRED.value if late else request.state,
        "requested_by": request.requested_by.get_username(),
        "reason": request.reason,
        "payload": request.payload,
        "before": request.before,
        "diff": request.diff,
        "digest": request.digest,
        "config_version": request.config_version,
        "fence": request.fence,
        "quorum": request.quorum,
        "vote_from": request.policy.get("vote_from", ""),
        "votes": [_vote(vote) for vote in request.votes.all()],
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "execution": {
            "state": request.execution_state,
            "result": request.result,
            "refusal": request.refusal,
            "at": request.executed_at,
        },
    }


def _vote(vote: Vote) -> dict[str, Any]:
    return {
        "by": vote.approver.get_username(),
        "verdict": vote.verdict,
        "comment": vote.comment,
        "at": vote.at,
        "withdrawn_at": vote.withdrawn_at,
    }
