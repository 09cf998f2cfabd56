"""What the database holds of orders and executions by itself: legal moves, journals, and a second person.

The tables of moves are frozen copies of `trading.domain`; a test compares them with the living ones.
"""

from django.db import migrations

ORDER_MOVES = (
    "ACKED>CANCELED",
    "ACKED>FILLED",
    "ACKED>PARTIAL",
    "ACKED>REJECTED_DEFINITE",
    "INTENT_WRITTEN>DISCARDED",
    "INTENT_WRITTEN>SENDING",
    "PARTIAL>CANCELED",
    "PARTIAL>FILLED",
    "SENDING>ACKED",
    "SENDING>CANCELED",
    "SENDING>FILLED",
    "SENDING>PARTIAL",
    "SENDING>REJECTED_DEFINITE",
    "SENDING>UNKNOWN",
    "UNKNOWN>ACKED",
    "UNKNOWN>CANCELED",
    "UNKNOWN>FILLED",
    "UNKNOWN>PARTIAL",
    "UNKNOWN>REJECTED_DEFINITE",
    "UNKNOWN>RESOLVED_ABSENT",
)
EXECUTION_MOVES = (
    "APPROVED>ARMED",
    "APPROVED>EXPIRED",
    "APPROVED>REJECTED",
    "ARMED>ABORTED_CLEAN",
    "ARMED>WORKING",
    "BALANCED>CLOSING",
    "BALANCED>QUARANTINED",
    "CLOSING>BALANCED",
    "CLOSING>QUARANTINED",
    "CLOSING>RESIDUAL_HELD",
    "CLOSING>SETTLED",
    "CLOSING>UNKNOWN",
    "IMBALANCED>QUARANTINED",
    "IMBALANCED>RESCUE_PROCEED",
    "IMBALANCED>RESCUE_REVERSE",
    "IMBALANCED>RESIDUAL_HELD",
    "PLANNED>APPROVED",
    "PLANNED>EXPIRED",
    "PLANNED>REJECTED",
    "QUARANTINED>ABORTED_CLEAN",
    "QUARANTINED>BALANCED",
    "QUARANTINED>CLOSING",
    "QUARANTINED>FLAT_AFTER_RESCUE",
    "QUARANTINED>IMBALANCED",
    "QUARANTINED>RESCUE_REVERSE",
    "QUARANTINED>RESIDUAL_HELD",
    "RESCUE_PROCEED>BALANCED",
    "RESCUE_PROCEED>FLAT_AFTER_RESCUE",
    "RESCUE_PROCEED>QUARANTINED",
    "RESCUE_PROCEED>RESCUE_REVERSE",
    "RESCUE_PROCEED>RESIDUAL_HELD",
    "RESCUE_PROCEED>UNKNOWN",
    "RESCUE_REVERSE>BALANCED",
    "RESCUE_REVERSE>FLAT_AFTER_RESCUE",
    "RESCUE_REVERSE>QUARANTINED",
    "RESCUE_REVERSE>RESIDUAL_HELD",
    "RESCUE_REVERSE>UNKNOWN",
    "RESIDUAL_HELD>CLOSING",
    "RESIDUAL_HELD>QUARANTINED",
    "RESIDUAL_HELD>SETTLED",
    "UNKNOWN>ABORTED_CLEAN",
    "UNKNOWN>BALANCED",
    "UNKNOWN>CLOSING",
    "UNKNOWN>FLAT_AFTER_RESCUE",
    "UNKNOWN>IMBALANCED",
    "UNKNOWN>QUARANTINED",
    "UNKNOWN>RESCUE_REVERSE",
    "UNKNOWN>RESIDUAL_HELD",
    "UNKNOWN>SETTLED",
    "UNKNOWN>WORKING",
    "WORKING>ABORTED_CLEAN",
    "WORKING>BALANCED",
    "WORKING>IMBALANCED",
    "WORKING>QUARANTINED",
    "WORKING>RESCUE_REVERSE",
    "WORKING>RESIDUAL_HELD",
    "WORKING>UNKNOWN",
)


def _list(moves: tuple[str, ...]) -> str:
    return ", ".join(f"'{move}'" for move in moves)


ORDER_GUARD = f"""
CREATE FUNCTION trading_order_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN ({_list(ORDER_MOVES)}) THEN
        RAISE EXCEPTION 'an order does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.leg_id, NEW.attempt, NEW.purpose, NEW.client_order_id, NEW.venue, NEW.symbol, NEW.side, NEW.qty,
        NEW.price, NEW.fence) IS DISTINCT FROM
       (OLD.leg_id, OLD.attempt, OLD.purpose, OLD.client_order_id, OLD.venue, OLD.symbol, OLD.side, OLD.qty,
        OLD.price, OLD.fence) THEN
        RAISE EXCEPTION 'what an order asks for is frozen' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.sent_at IS NOT NULL AND NEW.sent_at IS DISTINCT FROM OLD.sent_at THEN
        RAISE EXCEPTION 'an order is sent once' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER order_guard BEFORE UPDATE ON trading_orderintent
    FOR EACH ROW EXECUTE FUNCTION trading_order_guard();
"""


def execution_guard(moves: tuple[str, ...]) -> str:
    """The function of the trigger, for these moves: a later migration that allows more replaces it."""
    return f"""
CREATE OR REPLACE FUNCTION trading_execution_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT NEW.dry_run AND NEW.envelope_id IS NOT NULL THEN
            PERFORM ops_use_envelope(NEW.envelope_id, 'trading.execute');
        ELSIF NOT NEW.dry_run THEN
            -- An approval names the plan by its uid: of this very plan, not of another of that pair.
            PERFORM ops_consume_approval(NEW.approval_id, ARRAY['trading.execute'], r.target)
               FROM ops_approvalrequest r WHERE r.id = NEW.approval_id AND r.payload ->> 'uid' = NEW.plan_id::text;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'trading.execute needs an approved, unexpired, unused request of this plan'
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN ({_list(moves)}) THEN
        RAISE EXCEPTION 'an execution does not go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.plan_id, NEW.symbol, NEW.dry_run, NEW.approval_id, NEW.envelope_id, NEW.plan_digest) IS DISTINCT FROM
       (OLD.plan_id, OLD.symbol, OLD.dry_run, OLD.approval_id, OLD.envelope_id, OLD.plan_digest) THEN
        RAISE EXCEPTION 'what an execution was approved for is frozen' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


EXECUTION_GUARD = f"""
{execution_guard(EXECUTION_MOVES)}
CREATE TRIGGER execution_guard BEFORE INSERT OR UPDATE ON trading_execution
    FOR EACH ROW EXECUTE FUNCTION trading_execution_guard();
"""

JOURNALS = "".join(
    f"""
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""
    for table in ("trading_executiontransition", "trading_attempt", "trading_fill")
)
KEPT = "".join(
    f"""
CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""
    for table in ("trading_execution", "trading_leg", "trading_orderintent", "trading_position")
)


GUARDS = (ORDER_GUARD, EXECUTION_GUARD, JOURNALS, KEPT)


class Migration(migrations.Migration):
    dependencies = [("trading", "0001_initial"), ("ops", "0002_controls")]
    operations = [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in GUARDS]
