"""`manage.py check --database default`: what makes a desk that cannot be run."""

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register

from ops.components import approvers
from ops.status import Status


@register(Tags.database)
def quorums_can_be_met(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Only when asked with a database, which a check at start is not."""
    if not databases:
        return []
    found = approvers()
    if found.status is Status.OK:
        return []
    hint = "create or activate people, give them roles, or lower the policy: each by two people"
    return [Error(found.summary, hint=hint, id="ops.E001")]
