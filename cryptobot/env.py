"""The environment: read once, validated together, printed redacted.

Every variable the product reads is a field of `Environment`; nothing else may call `os.environ`.
A malformed value stops the start: `load()` collects every problem and names the variable, the value
found and what is accepted. Fields are named as the variable, in lower case.
"""

import hashlib
import os
import socket
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from cryptobot.embedded.paths import APP_ROLE, OWNER_ROLE, embedded_database_url, embedded_redis_url
from cryptobot.secrets import generated_secret

BASE_DIR = Path(__file__).resolve().parent.parent

Profile = Literal["paper", "testnet", "live"]
SECRET_NAMES = ("SECRET_KEY", "FIELD_ENCRYPTION_KEY", "AUDIT_HMAC_KEY")
BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class BadEnvironment(Exception):
    """One line per problem, ready to be shown to whoever starts the desk."""


def _boolean(value: object) -> object:
    """Accept exactly the words of BOOLEANS; pydantic alone would also take 't', 'Y' and 1.0."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in BOOLEANS:
        raise ValueError(f"accepted: {', '.join(BOOLEANS)}")
    return BOOLEANS[word]


Boolean = Annotated[bool, BeforeValidator(_boolean)]
# Absolute: children run in another working directory, and the sockets' place is derived from it.
Directory = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


def _market(value: str) -> str:
    """A relative folder is the starter's, not that of the children's working directory."""
    kind, _, folder = value.partition(":")
    if kind != "recording" or not folder:
        return value
    return f"recording:{Path(folder).expanduser().absolute()}"


class Environment(BaseSettings):
    """All variables of spec 1 that this build honours. Frozen: a change needs a restart, on purpose."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    exchange_profile: Profile = "paper"
    safe_mode: Boolean = True
    dry_run: Boolean = False
    risk_checks_enabled: Boolean = False
    max_total_notional_usdt: Annotated[Decimal, Field(ge=0)] | None = None
    max_open_positions: Annotated[int, Field(ge=0)] | None = None
    feature_leader_lock: Boolean = False
    leader_lock_ttl_sec: Annotated[int, Field(ge=2)] = 20
    leader_lock_stale_sec: Annotated[int, Field(ge=2)] | None = None

    #: Paper only: DATA_DIR of another desk, to trade on its paper venues; unset: a desk runs its own.
    paper_venues_dir: Directory | None = None
    #: Paper only, over `trading.paper.market` of the config: "generator" or "recording:<folder>".
    paper_market: Annotated[str, AfterValidator(_market)] = ""

    data_dir: Directory = BASE_DIR / "data"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    host: str = "127.0.0.1"
    allowed_hosts: str = "127.0.0.1,localhost,[::1]"
    debug: Boolean = False
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    database_url: str = ""
    database_owner_url: str = ""
    redis_url: str = ""
    secret_key: str = ""
    field_encryption_key: str = ""
    audit_hmac_key: str = ""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load` passes the mapping itself, so that a test needs no monkeypatching

    @model_validator(mode="after")
    def _rules_across_variables(self) -> Self:
        problems = list(self._cross_problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _cross_problems(self) -> list[str]:
        problems = []
        if self.stale_sec < 2 * self.leader_lock_ttl_sec:
            problems.append("LEADER_LOCK_STALE_SEC: accepted: at least twice LEADER_LOCK_TTL_SEC")
        if (problem := self._market_problem()) is not None:
            problems.append(f"PAPER_MARKET={self.paper_market}: {problem}")
        if self.paper_venues_dir and self.exchange_profile != "paper":
            problems.append("PAPER_VENUES_DIR: accepted with EXCHANGE_PROFILE=paper only")
        if self.exchange_profile == "live":
            if not self.risk_checks_enabled:
                problems.append("RISK_CHECKS_ENABLED=0: accepted in live: 1")
            if self.debug:
                problems.append("DEBUG=1: accepted in live: 0")
        if self.exchange_profile != "paper":
            needed = (*SECRET_NAMES, "DATABASE_URL", "REDIS_URL")
            problems += [f"{n}: required outside paper" for n in needed if not getattr(self, n.lower())]
        return problems

    def _market_problem(self) -> str | None:
        kind, _, folder = self.paper_market.partition(":")
        if not self.paper_market:
            return None
        if self.exchange_profile != "paper":
            return f"accepted with EXCHANGE_PROFILE=paper only, not {self.exchange_profile}"
        if self.paper_market != "generator" and kind != "recording":
            return "accepted: generator, recording:<folder>"
        if kind == "recording" and not Path(folder).is_dir():
            return "no such folder; accepted: generator, recording:<folder of Lean cryptofuture data>"
        return None

    @property
    def stale_sec(self) -> int:
        return self.leader_lock_stale_sec or max(2 * self.leader_lock_ttl_sec, 60)

    @property
    def paper_dir(self) -> Path:
        """Where `paper-venues.json` is, with the addresses and keys of the paper venues."""
        return self.paper_venues_dir or self.data_dir

    @property
    def embedded(self) -> bool:
        """True when this desk runs its own PostgreSQL (no DATABASE_URL given)."""
        return not self.database_url

    @property
    def base_url(self) -> str:
        """Where a person on this host finds the desk."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)  # noqa: S104 (shown)
        return f"http://{host}:{self.port}"

    @property
    def instance(self) -> str:
        """A short stable name for this node: the same host and DATA_DIR give the same name."""
        return hashlib.sha256(f"{socket.gethostname()}:{self.data_dir.resolve()}".encode()).hexdigest()[:8]

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or embedded_database_url(self.data_dir, role=APP_ROLE)

    @property
    def resolved_owner_url(self) -> str:
        """Who migrates: the owner of the tables, which the application role is not."""
        if self.embedded:
            return embedded_database_url(self.data_dir, role=OWNER_ROLE)
        return self.database_owner_url or self.database_url

    @property
    def resolved_redis_url(self) -> str:
        return self.redis_url or embedded_redis_url(self.data_dir)

    def secret(self, name: str) -> str:
        """The named secret: from the environment, or (paper only) generated once into DATA_DIR."""
        return str(getattr(self, name.lower())) or generated_secret(self.data_dir, name)

    def redacted(self) -> dict[str, str]:
        """Every variable as text, secrets and URLs with credentials replaced, for `showconfig`."""
        hidden = {n.lower() for n in SECRET_NAMES} | {"database_url", "database_owner_url", "redis_url"}
        shown = {n.upper(): str(v) for n, v in self.model_dump().items()}
        return {n: ("<set>" if v else "<default>") if n.lower() in hidden else v for n, v in shown.items()}


def load(environ: Mapping[str, str] | None = None) -> Environment:
    """Validate the environment as a whole.

    Raises:
        BadEnvironment: with one line per problem: the variable, the value, what is accepted.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {n: source[n.upper()] for n in Environment.model_fields if source.get(n.upper())}
    try:
        return Environment(**values)
    except ValidationError as error:
        raise BadEnvironment("\n".join(_line(problem) for problem in error.errors())) from None


def _line(problem: Any) -> str:
    """One problem as `VARIABLE=value: message`; cross-variable problems already name theirs."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0]).upper()
    value = "<hidden>" if name in SECRET_NAMES else problem["input"]
    return f"{name}={value}: {message}"
