"""Roles of people, rights on one object, and how many people an action needs: each by two people."""

from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ValidationError
from django.db.models import Model
from guardian.models import GroupObjectPermission, UserObjectPermission

from ops import audit
from ops.actions import policy, registry
from ops.actions.base import Action, Actor, Context, Danger, Outcome, Refusal, Status
from ops.actions.inputs import InvalidInput, arg
from ops.actions.people import OnPerson
from ops.actions.registry import register
from ops.holders import Holders
from ops.models import ApprovalPolicy, User


@dataclass(frozen=True, kw_only=True)
class RoleInput:
    username: str = arg(help="Whose")
    role: str = arg(help="viewer, auditor, operator, risk_manager or admin")


class OnRole(OnPerson):
    Input = RoleInput

    def target(self, data: RoleInput) -> str:
        return f"{data.role} to user:{data.username}"[:120]

    def role(self, data: RoleInput) -> Group:
        found = Group.objects.filter(name=data.role).first()
        if found is None:
            known = ", ".join(Group.objects.order_by("name").values_list("name", flat=True))
            raise InvalidInput([{"field": "role", "detail": f"{data.role[:40]!r}; accepted: {known}"}])
        return found

    def before(self, ctx: Context[RoleInput]) -> dict[str, Any]:
        return {"roles": sorted(self.subject(ctx).groups.values_list("name", flat=True))}

    def changed(self, user: User) -> Outcome:
        audit.touch_keys("ops_user_groups", user.pk)
        roles = sorted(user.groups.values_list("name", flat=True))
        return self.done(user=user.username, roles=roles)


@register
class GrantRole(OnRole):
    name = "ops.grant_role"
    title = "Give a role"
    help = "What the role may do, the person may do from then on."

    def check(self, ctx: Context[RoleInput]) -> Outcome | None:
        if self.subject(ctx).groups.filter(pk=self.role(ctx.input).pk).exists():
            raise Refusal("role.held", f"{ctx.input.username} is {ctx.input.role} already")
        return None

    def diff(self, ctx: Context[RoleInput]) -> list[dict[str, Any]]:
        now = ", ".join(self.before(ctx)["roles"])
        return [
            {"field": f"roles of {ctx.input.username}", "before": now, "after": f"{now}, {ctx.input.role}"}
        ]

    def execute(self, ctx: Context[RoleInput]) -> Outcome:
        user = self.subject(ctx)
        user.groups.add(self.role(ctx.input))
        return self.changed(user)


@register
class RevokeRole(OnRole):
    name = "ops.revoke_role"
    title = "Take a role away"
    help = "At once. What the person approved by it no longer counts."
    danger = Danger.REDUCES
    reason_required = False
    stops = True

    def check(self, ctx: Context[RoleInput]) -> Outcome | None:
        if not self.subject(ctx).groups.filter(pk=self.role(ctx.input).pk).exists():
            raise Refusal("role.not_held", f"{ctx.input.username} is not {ctx.input.role}")
        return None

    def execute(self, ctx: Context[RoleInput]) -> Outcome:
        user = self.subject(ctx)
        user.groups.remove(self.role(ctx.input))
        return self.changed(user)


# --- on one object -----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ObjectPermissionInput:
    permission: str = arg(help="Such as trading.execute, or trading.approve_execute")
    object_id: str = arg(help="The object's key, such as okx")
    holder: str = arg(help="user:<name> or role:<name>")


Grant = UserObjectPermission | GroupObjectPermission


class OnObject(Action[ObjectPermissionInput]):
    """guardian's rows, by action. Which objects: those of the action's own `model`."""

    Input = ObjectPermissionInput
    danger = Danger.INCREASES
    locks_desk = False
    listed = False

    def target(self, data: ObjectPermissionInput) -> str:
        return f"{data.permission} on {data.object_id} to {data.holder}"

    def normalise(self, data: ObjectPermissionInput, actor: Actor) -> ObjectPermissionInput:
        errors = []
        if len(self.target(data)) > 120:
            errors.append({"field": "holder", "detail": "too long together"})
        if (found := self._permission(data)) is None:
            errors.append({"field": "permission", "detail": f"{data.permission[:60]!r} is on no object"})
        elif (row := self.object(data, found)) is None:
            kind = found.content_type.model
            errors.append({"field": "object_id", "detail": f"no {kind} {data.object_id[:40]!r}"})
        else:
            data = replace(data, object_id=str(row.pk))  # as guardian will look for it: 5, not " 5"
        if self.holder(data) is None:
            errors.append({"field": "holder", "detail": "accepted: user:<name> or role:<name> that is there"})
        if errors:
            raise InvalidInput(errors)
        return data

    def _permission(self, data: ObjectPermissionInput) -> Permission | None:
        """Only those that an action with objects asks for."""
        asked = {p for a in registry.all_actions() if a.model for p in (a.permission, a.approve_permission)}
        if data.permission not in asked:
            return None
        app, codename = data.permission.split(".", 1)
        return Permission.objects.filter(content_type__app_label=app, codename=codename).first()

    def object(self, data: ObjectPermissionInput, permission: Permission) -> Model | None:
        kind = permission.content_type.model_class()
        try:
            return kind._default_manager.filter(pk=data.object_id).first() if kind else None
        except (ValueError, TypeError, ValidationError):  # not even a key of that model
            return None

    def holder(self, data: ObjectPermissionInput) -> User | Group | None:
        kind, _, name = data.holder.partition(":")
        if kind == "user":
            return User.objects.filter(username=name).first()
        return Group.objects.filter(name=name).first() if kind == "role" else None

    def interested(self, data: ObjectPermissionInput) -> str:
        return data.holder.removeprefix("user:")

    def rows(self, data: ObjectPermissionInput) -> list[Grant]:
        permission, holder = self._permission(data), self.holder(data)
        if isinstance(holder, User):
            own = UserObjectPermission.objects.filter(user=holder)
            return list(own.filter(permission=permission, object_pk=data.object_id))
        rows = GroupObjectPermission.objects.filter(group=holder)
        return list(rows.filter(permission=permission, object_pk=data.object_id))

    def before(self, ctx: Context[ObjectPermissionInput]) -> dict[str, Any]:
        return {"held": bool(self.rows(ctx.input))}

    def diff(self, ctx: Context[ObjectPermissionInput]) -> list[dict[str, Any]]:
        held, permission = self.before(ctx)["held"], self._permission(ctx.input)
        shown = permission and self.object(ctx.input, permission)  # a key alone may say nothing to a voter
        field = f"{ctx.input.permission} on {shown} to {ctx.input.holder}"
        return [{"field": field, "before": held, "after": not held}]

    def done(self, data: ObjectPermissionInput) -> Outcome:
        body = {"target": self.target(data), "held": bool(self.rows(data))}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)


@register
class GrantObjectPermission(OnObject):
    name = "ops.grant_object_permission"
    title = "Give a right on one object"
    help = "To a person or a role: who may ask for or approve what, on one venue or policy."

    def check(self, ctx: Context[ObjectPermissionInput]) -> Outcome | None:
        if self.rows(ctx.input):
            raise Refusal("permission.held", f"{ctx.input.holder} holds it already")
        return None

    def execute(self, ctx: Context[ObjectPermissionInput]) -> Outcome:
        permission, holder = self._permission(ctx.input), self.holder(ctx.input)
        assert permission is not None
        values = {
            "permission": permission,
            "content_type": permission.content_type,
            "object_pk": ctx.input.object_id,
        }
        if isinstance(holder, User):
            audit.touch(UserObjectPermission.objects.create(user=holder, **values))
        else:
            audit.touch(GroupObjectPermission.objects.create(group=holder, **values))
        return self.done(ctx.input)


@register
class RevokeObjectPermission(OnObject):
    name = "ops.revoke_object_permission"
    title = "Take a right on one object away"
    help = "At once."
    danger = Danger.REDUCES
    reason_required = False
    stops = True

    def check(self, ctx: Context[ObjectPermissionInput]) -> Outcome | None:
        if not self.rows(ctx.input):
            raise Refusal("permission.not_held", f"{ctx.input.holder} does not hold it")
        return None

    def execute(self, ctx: Context[ObjectPermissionInput]) -> Outcome:
        for row in self.rows(ctx.input):
            audit.touch(row)
            row.delete()
        return self.done(ctx.input)


# --- policies ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PolicyInput:
    action: str = arg(help="The action that it is about, such as trading.execute")
    quorum: int | None = arg(
        help="People other than the requester, 1 to 5; empty: the profile's", default=None
    )
    vote_from: str = arg(help="A role of which one approver must be; empty: any", default="")


@register
class SetPolicy(Action[PolicyInput]):
    """Under the policy in force until then; also one's own."""

    name = "ops.set_policy"
    title = "Change an approval policy"
    help = "How many other people an action needs, and of which role one of them must be."
    danger = Danger.INCREASES
    Input = PolicyInput
    model = ApprovalPolicy
    locks_desk = False
    listed = False

    def normalise(self, data: PolicyInput, actor: Actor) -> PolicyInput:
        errors = []
        if not registry.knows(data.action):
            errors.append({"field": "action", "detail": f"no action is called {data.action[:60]!r}"})
        if data.quorum is not None and not 1 <= data.quorum <= 5:
            errors.append({"field": "quorum", "detail": f"{data.quorum}; accepted: 1 to 5, never zero"})
        if data.vote_from and not Group.objects.filter(name=data.vote_from).exists():
            errors.append({"field": "vote_from", "detail": f"no role is called {data.vote_from[:40]!r}"})
        if errors:
            raise InvalidInput(errors)
        return data

    def target(self, data: PolicyInput) -> str:
        return data.action

    def objects(self, data: PolicyInput) -> list[ApprovalPolicy]:
        return list(ApprovalPolicy.objects.filter(pk=data.action))

    def check(self, ctx: Context[PolicyInput]) -> Outcome | None:
        if self.before(ctx) == {"quorum": ctx.input.quorum, "vote_from": ctx.input.vote_from}:
            raise Refusal("policy.unchanged", f"the policy of {ctx.input.action} says so already")
        if ctx.input.action == self.name and self._out_of_reach(ctx.input):
            raise Refusal("policy.unmeetable", "nobody could change a policy ever again: too few could agree")
        return None

    def _out_of_reach(self, data: PolicyInput) -> bool:
        """Of its own policy: whoever asked to lower it again, too few others could agree."""
        quorum, role = data.quorum or policy.default_quorum(), data.vote_from or self.vote_from
        holders = Holders.now()
        voting = holders.voting(self.approve_permission)
        others = [voting - {person} for person in holders.asking(self.permission)]
        return not any(
            len(people) >= quorum and (not role or people & holders.roles[role]) for people in others
        )

    def before(self, ctx: Context[PolicyInput]) -> dict[str, Any]:
        row = ApprovalPolicy.objects.filter(pk=ctx.input.action).first()
        return {"quorum": row.quorum if row else None, "vote_from": row.vote_from if row else ""}

    def diff(self, ctx: Context[PolicyInput]) -> list[dict[str, Any]]:
        """What is in force, not what the row says: an empty one leaves it to the profile and the action."""
        data, action = ctx.input, registry.get(ctx.input.action)
        now = policy.requirement(action)
        quorum, role = data.quorum or policy.default_quorum(), data.vote_from or action.vote_from
        return [
            {"field": f"quorum of {data.action}", "before": now.quorum, "after": quorum},
            {"field": "one vote from", "before": now.vote_from or None, "after": role or None},
        ]

    def execute(self, ctx: Context[PolicyInput]) -> Outcome:
        row, _new = ApprovalPolicy.objects.select_for_update().get_or_create(pk=ctx.input.action)
        row.quorum, row.vote_from = ctx.input.quorum, ctx.input.vote_from
        row.save()
        audit.touch(row)
        body = {"action": row.action, "quorum": row.quorum, "vote_from": row.vote_from}
        return Outcome(Status.EXECUTED, {"result": body}, after=body)
