"""The notifications part of the configuration: who is told of what. Addresses and tokens are secrets and come
from the environment."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Severity = Annotated[str, Field(pattern=r"^P[012]$")]


class Route(BaseModel):
    """env: the environment variable with the apprise URLs of this route, one or more, separated by spaces.
    severities: of the incidents that go there. escalates_after_min: also told of a P0 that nobody has
    acknowledged for so long, whatever the severities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{2,60}$")]
    severities: tuple[Severity, ...] = ()
    escalates_after_min: Annotated[int, Field(ge=1, le=1_440)] | None = None


class NotificationsConfig(BaseModel):
    """tries: of one delivery, 1, 2, 4, … s apart. timeout_sec: of one try."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    routes: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], Route] = {}
    tries: Annotated[int, Field(ge=1, le=20)] = 8
    timeout_sec: Annotated[int, Field(ge=1, le=60)] = 5
