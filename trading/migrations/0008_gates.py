"""What two people decide about orders and money needs their approved request in the database too.

Asked when the transaction commits: the runner marks the request after the change.
"""

from django.db import migrations

BREAK = """
CREATE FUNCTION trading_break_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.accepted_at IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.accepted_at IS NULL)
       AND NOT ops_was_approved(ARRAY['trading.accept_break'], NEW.id::text) THEN
        RAISE EXCEPTION 'accepting a break needs an approved, unexpired, unused request'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER break_gate AFTER INSERT OR UPDATE OF accepted_at ON trading_reconciliationbreak
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trading_break_gate();

CREATE FUNCTION trading_break_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.accepted_at IS NOT NULL AND
       (NEW.accepted_at, NEW.accepted_why, NEW.venue, NEW.kind, NEW.symbol, NEW.key, NEW.amount) IS DISTINCT FROM
       (OLD.accepted_at, OLD.accepted_why, OLD.venue, OLD.kind, OLD.symbol, OLD.key, OLD.amount) THEN
        RAISE EXCEPTION 'what two people accepted of a break is frozen' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER break_frozen BEFORE UPDATE ON trading_reconciliationbreak
    FOR EACH ROW EXECUTE FUNCTION trading_break_frozen();
"""

# An adjustment is the money of an accepted break and of nothing else.
ADJUSTMENT = """
CREATE FUNCTION trading_adjustment_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'adjustment' AND NOT EXISTS (
        SELECT 1 FROM trading_reconciliationbreak b
         WHERE b.accepted_at IS NOT NULL AND b.venue = NEW.venue
           AND 'adjustment:' || (b.data ->> 'source') = NEW.source) THEN
        RAISE EXCEPTION 'an adjustment needs an approved break' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER adjustment_gate AFTER INSERT ON trading_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trading_adjustment_gate();
"""

# Absent is what the venue said twice after the order was sent, or what two people state.
ABSENT = """
CREATE FUNCTION trading_absent_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'RESOLVED_ABSENT' AND OLD.state <> NEW.state
       AND (SELECT count(*) FROM trading_attempt a WHERE a.order_id = NEW.id AND a.kind = 'query'
               AND a.outcome = 'not_found' AND a.at > NEW.sent_at) < 2
       AND NOT ops_was_approved(ARRAY['trading.resolve_unknown'], NEW.client_order_id) THEN
        RAISE EXCEPTION 'an order in doubt is absent by the venue''s word, given twice; else it needs an approved request'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER order_absent_gate AFTER UPDATE OF state ON trading_orderintent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trading_absent_gate();
"""

UNDO = """
DROP TRIGGER order_absent_gate ON trading_orderintent;
DROP FUNCTION trading_absent_gate();
DROP TRIGGER adjustment_gate ON trading_ledgerentry;
DROP FUNCTION trading_adjustment_gate();
DROP TRIGGER break_frozen ON trading_reconciliationbreak;
DROP FUNCTION trading_break_frozen();
DROP TRIGGER break_gate ON trading_reconciliationbreak;
DROP FUNCTION trading_break_gate();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0007_bounded_close_and_residuals"),
        ("ops", "0002_controls"),
    ]
    operations = [migrations.RunSQL(BREAK + ADJUSTMENT + ABSENT, UNDO)]
