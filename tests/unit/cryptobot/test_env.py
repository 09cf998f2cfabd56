"""Each refusal names the variable, the value and what is accepted; secrets are never in the message."""

from decimal import Decimal
from pathlib import Path

import pytest

from cryptobot.env import BadEnvironment, load

LIVE = {
    "EXCHANGE_PROFILE": "live",
    "RISK_CHECKS_ENABLED": "1",
    "DATABASE_URL": "postgresql://app@127.0.0.1/cryptobot",
    "REDIS_URL": "redis://127.0.0.1/0",
    "SECRET_KEY": "s" * 50,
    "FIELD_ENCRYPTION_KEY": "f" * 50,
    "AUDIT_HMAC_KEY": "a" * 50,
}


def refusal(**environ: str) -> str:
    with pytest.raises(BadEnvironment) as caught:
        load(environ)
    return str(caught.value)


def test_nothing_set_is_a_paper_desk_in_safe_mode() -> None:
    env = load({})
    assert (env.exchange_profile, env.safe_mode, env.dry_run, env.port) == ("paper", True, False, 8000)
    assert env.embedded
    assert env.data_dir.is_absolute()


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("EXCHANGE_PROFILE", "production", "'paper', 'testnet' or 'live'"),
        ("SAFE_MODE", "maybe", "accepted: 1, true, yes, on, 0, false, no, off"),
        ("SAFE_MODE", "t", "accepted: 1, true"),
        ("DRY_RUN", "2", "accepted: 1, true"),
        ("RISK_CHECKS_ENABLED", "enabled", "accepted: 1, true"),
        ("MAX_TOTAL_NOTIONAL_USDT", "-1", "greater than or equal to 0"),
        ("MAX_TOTAL_NOTIONAL_USDT", "NaN", "finite"),
        ("MAX_TOTAL_NOTIONAL_USDT", "1e", "decimal"),
        ("MAX_OPEN_POSITIONS", "1.5", "integer"),
        ("LEADER_LOCK_TTL_SEC", "0", "greater than or equal to 2"),
        ("LEADER_LOCK_STALE_SEC", "soon", "integer"),
        ("PORT", "0", "greater than or equal to 1"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("PORT", "http", "integer"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("DEBUG", "x", "accepted: 1, true"),
    ],
)
def test_a_malformed_value_is_refused_by_name(name: str, value: str, accepted: str) -> None:
    message = refusal(**{name: value})
    assert message.startswith(f"{name}={value}: ")
    assert accepted in message
    assert "\n" not in message


def test_all_problems_are_told_at_once_one_line_each() -> None:
    lines = refusal(PORT="x", SAFE_MODE="perhaps", EXCHANGE_PROFILE="moon").splitlines()
    assert sorted(line.split("=")[0] for line in lines) == ["EXCHANGE_PROFILE", "PORT", "SAFE_MODE"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"RISK_CHECKS_ENABLED": "0"}, "RISK_CHECKS_ENABLED=0: accepted in live: 1"),
        ({"RISK_CHECKS_ENABLED": ""}, "RISK_CHECKS_ENABLED=0: accepted in live: 1"),
        ({"DEBUG": "1"}, "DEBUG=1: accepted in live: 0"),
        ({"SECRET_KEY": ""}, "SECRET_KEY: required outside paper"),
        ({"FIELD_ENCRYPTION_KEY": ""}, "FIELD_ENCRYPTION_KEY: required outside paper"),
        ({"AUDIT_HMAC_KEY": ""}, "AUDIT_HMAC_KEY: required outside paper"),
        ({"DATABASE_URL": ""}, "DATABASE_URL: required outside paper"),
        ({"REDIS_URL": ""}, "REDIS_URL: required outside paper"),
    ],
)
def test_live_refuses_what_only_paper_may_do(changed: dict[str, str], line: str) -> None:
    assert load(LIVE).exchange_profile == "live"
    assert line in refusal(**LIVE | changed)


def test_a_recording_is_a_folder_that_is_there_and_paper_only(tmp_path: Path) -> None:
    env = load({"PAPER_MARKET": f"recording:{tmp_path}"})
    assert env.paper_market == env.redacted()["PAPER_MARKET"] == f"recording:{tmp_path}"
    assert load({"PAPER_MARKET": "recording:tests"}).paper_market.startswith("recording:/")
    assert refusal(PAPER_MARKET="recording:/no/such").startswith("PAPER_MARKET=recording:/no/such: no such")
    assert "accepted: generator, recording:<folder>" in refusal(PAPER_MARKET="random")
    assert "PAPER_MARKET=generator: accepted with EXCHANGE_PROFILE=paper only" in refusal(
        **LIVE | {"PAPER_MARKET": "generator"}
    )


def test_a_robber_waits_at_least_two_leases() -> None:
    assert "LEADER_LOCK_STALE_SEC" in refusal(LEADER_LOCK_TTL_SEC="20", LEADER_LOCK_STALE_SEC="39")
    assert load({"LEADER_LOCK_TTL_SEC": "20", "LEADER_LOCK_STALE_SEC": "40"}).stale_sec == 40
    assert load({"LEADER_LOCK_TTL_SEC": "50"}).stale_sec == 100


def test_no_secret_is_ever_printed() -> None:
    shown = str(load(LIVE | {"DATABASE_URL": "postgresql://app:hunter2@db/x"}).redacted())
    assert "hunter2" not in shown
    assert "sss" not in shown
    assert "fff" not in shown
    assert "aaa" not in shown


def test_caps_keep_their_digits() -> None:
    assert load({"MAX_TOTAL_NOTIONAL_USDT": "0.10"}).max_total_notional_usdt == Decimal("0.10")


def test_the_owner_migrates_the_application_runs(tmp_path: Path) -> None:
    env = load({"DATA_DIR": str(tmp_path)})
    assert "cryptobot_owner@" in env.resolved_owner_url
    assert "cryptobot_app@" in env.resolved_database_url


def test_paper_makes_its_secrets_once_and_keeps_them(tmp_path: Path) -> None:
    env = load({"DATA_DIR": str(tmp_path)})
    first = env.secret("SECRET_KEY")
    assert len(first) >= 50
    assert env.secret("SECRET_KEY") == first != env.secret("AUDIT_HMAC_KEY")
    assert (tmp_path / "secrets" / "SECRET_KEY").stat().st_mode & 0o777 == 0o600
