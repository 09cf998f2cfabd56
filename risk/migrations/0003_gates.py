"""A limit is raised or taken away, and a cap overridden, by two people only. Asked at the commit."""

from django.db import migrations

LIMIT = """
CREATE FUNCTION risk_limit_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'DELETE' OR NEW.value > OLD.value OR (NEW.level, NEW.cap) IS DISTINCT FROM (OLD.level, OLD.cap))
       AND NOT ops_was_approved(ARRAY['risk.set_limit'], OLD.cap || ' at ' || OLD.level) THEN
        RAISE EXCEPTION 'a limit that rises or goes needs an approved, unexpired, unused request'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER limit_gate AFTER UPDATE OR DELETE ON risk_risklimit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION risk_limit_gate();
"""

OVERRIDE = """
CREATE FUNCTION risk_override_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'an override is append-only' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.used_at IS NOT NULL OR (NEW.id, NEW.symbol, NEW.level, NEW.cap, NEW.value, NEW.approval_id, NEW.expires_at)
       IS DISTINCT FROM (OLD.id, OLD.symbol, OLD.level, OLD.cap, OLD.value, OLD.approval_id, OLD.expires_at) THEN
        RAISE EXCEPTION 'what two people allowed once is frozen' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER override_guard BEFORE UPDATE OR DELETE ON risk_riskoverride
    FOR EACH ROW EXECUTE FUNCTION risk_override_guard();

CREATE FUNCTION risk_override_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ops_was_approved(ARRAY['risk.grant_override'],
                            NEW.cap || ' at ' || NEW.level || ' for ' || NEW.symbol) THEN
        RAISE EXCEPTION 'an override needs an approved, unexpired, unused request'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER override_gate AFTER INSERT ON risk_riskoverride
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION risk_override_gate();
"""

UNDO = """
DROP TRIGGER override_gate ON risk_riskoverride;
DROP FUNCTION risk_override_gate();
DROP TRIGGER override_guard ON risk_riskoverride;
DROP FUNCTION risk_override_guard();
DROP TRIGGER limit_gate ON risk_risklimit;
DROP FUNCTION risk_limit_gate();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0002_limits_and_guards"),
        ("ops", "0002_controls"),
    ]
    operations = [migrations.RunSQL(LIMIT + OVERRIDE, UNDO)]
