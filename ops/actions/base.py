"""An operator action: one class, the same for every face (spec 3.1).

The runner calls the hooks in this order:

    permission → parse → normalise → permission on objects → prepare
    → │ transaction: lock → check → approvals_needed → execute → audit │

`prepare` alone may look at the outside world (venues, other processes); what it returns is `ctx.evidence`.
Everything inside the transaction reads rows only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from django.db.models import Model

from ops.models import ApprovalRequest, Token, User

InputT = TypeVar("InputT")


class Danger(StrEnum):
    REDUCES = "reduces"
    NEUTRAL = "neutral"
    INCREASES = "increases"


class Credential(StrEnum):
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 (a kind of credential)
    PASSWORD = "password"  # noqa: S105 (proven at the command line)
    OS = "os"  # a login of this host, at the command line: may only stop


class Source(StrEnum):
    REST = "rest"
    ADMIN = "admin"
    CLI = "cli"
    SYSTEM = "system"


class Refusal(Exception):
    """A no with a stable code. `status` is what REST answers; `errors` per field or per missing item."""

    def __init__(
        self, code: str, detail: str, *, status: int = 409, errors: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.status, self.errors = code, detail, status, errors or []

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, "errors": self.errors}


class Status(StrEnum):
    EXECUTED = "executed"
    PENDING = "pending_approval"
    ACCEPTED = "accepted"
    SKIPPED = "skipped"
    DRY_RUN = "dry_run"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A yes, of one of five kinds. `body` joins `{"status": ...}` in the answer; `after` goes to audit."""

    status: Status
    body: Mapping[str, Any] = field(default_factory=dict)
    after: Any = None
    audit_seq: int | None = None
    repeated: bool = False  # a first answer given again

    @property
    def http_status(self) -> int:
        return 202 if self.status in {Status.PENDING, Status.ACCEPTED} else 200

    def as_dict(self) -> dict[str, Any]:
        return {"status": self.status.value, **self.body, "audit_seq": self.audit_seq}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, and how it was proven that it is this person.

    scopes: of a token: action names, or `*`. A login of this host (`Actor.of_host`) is no row of ours.
    """

    user: User
    credential: Credential
    scopes: tuple[str, ...] = (Token.EVERYTHING,)

    @classmethod
    def of_host(cls, login: str) -> "Actor":
        return cls(User(username=f"os:{login}"), Credential.OS)

    @property
    def name(self) -> str:
        return self.user.get_username()

    def require_scope(self, action: str) -> None:
        """Raises Refusal `token.scope`: a token does what it was issued for, and reads."""
        if Token.EVERYTHING not in self.scopes and action not in self.scopes:
            raise Refusal("token.scope", f"this token is not for {action}", status=403)

    @property
    def row(self) -> User | None:
        """For foreign keys."""
        return self.user if self.user.pk else None


@dataclass(slots=True)
class Context(Generic[InputT]):
    """One run of one action. `approval` is set when an approved request is being consumed."""

    actor: Actor
    input: InputT
    reason: str
    source: Source
    evidence: Any = None
    prepared: bool = False
    approval: ApprovalRequest | None = None
    keep: Callable[[Any], None] = lambda _: None  # remembers the answer under its Idempotency-Key


@dataclass(frozen=True)
class NoInput:
    """Nothing to say beyond the reason."""


class Action(Generic[InputT]):
    """Subclass, set the class variables, register with `@register`."""

    name: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    danger: ClassVar[Danger]
    Input: ClassVar[type[Any]] = NoInput
    #: A reason is required for what increases risk; for stops it is asked, not required.
    reason_required: ClassVar[bool] = True
    #: What its permissions hang on, and may be given for one object of; None: the desk as a whole.
    model: ClassVar[type[Model] | None] = None
    #: Whether the run waits for, and holds still, the desk's state. A stop that does not change it need not.
    locks_desk: ClassVar[bool] = True
    #: Whether it is offered on the desk's first page; what belongs to an object or to oneself is not.
    listed: ClassVar[bool] = True
    #: Whether a login of this host may do it without being a person of the desk: it only ever stops.
    stops: ClassVar[bool] = False
    #: Whether it is done by the leader alone where it increases risk; what decides who leads is not.
    fenced: ClassVar[bool] = True
    #: A role of which at least one approver must be.
    vote_from: ClassVar[str] = ""

    @property
    def permission(self) -> str:
        """The action's own name: there is no second table that could disagree (ADR 4)."""
        return self.name

    @property
    def approve_permission(self) -> str:
        app, verb = self.name.split(".", 1)
        return f"{app}.approve_{verb}"

    def risk(self, data: InputT) -> Danger:
        """Danger of this very input, where it depends on it."""
        return self.danger

    def target(self, data: InputT) -> str:
        """What it acts on: one open request per action and target."""
        return "desk"

    def objects(self, data: InputT) -> Iterable[Model]:
        """The rows of `model` that it acts on: who holds the permission on each of them may do it too."""
        return ()

    def normalise(self, data: InputT, actor: Actor) -> InputT:
        """The input as it shall be frozen, digested and run: references resolved, defaults made explicit."""
        return data

    def prepare(self, ctx: Context[InputT]) -> Any:
        """Look at the outside world. No locks are held; no rows may be written."""

    def check(self, ctx: Context[InputT]) -> Outcome | None:
        """Preconditions under lock: raise a Refusal, or return an Outcome that ends the run (a dry run)."""

    def approvals_needed(self, ctx: Context[InputT], quorum: int) -> int:
        """How many other people must agree; `quorum` is the profile's. Stops need none."""
        return quorum if self.risk(ctx.input) is Danger.INCREASES else 0

    def approved_for(self, data: InputT) -> timedelta:
        """How long an approval may be used."""
        return timedelta(minutes=5)

    def waits_for_start(self, data: InputT) -> bool:
        """Approved, it is not run by the last vote but by the next start of the desk, which does not void it
        (or by hand, with `apply`)."""
        return False

    def interested(self, data: InputT) -> str:
        """The person whom it is about, who has no vote on it; empty: nobody."""
        return ""

    def before(self, ctx: Context[InputT]) -> dict[str, Any]:
        """The values this will change, as they are: frozen into the digest."""
        return {}

    def diff(self, ctx: Context[InputT]) -> list[dict[str, Any]]:
        """What an approver must see: `[{"field", "before", "after"}]`."""
        return []

    def execute(self, ctx: Context[InputT]) -> Outcome:
        raise NotImplementedError
