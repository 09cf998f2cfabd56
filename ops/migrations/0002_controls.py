"""The controls that the database itself holds (spec 3.2.3). Code may be wrong; these refuse all the same."""

from django.db import migrations

VOTES = """
ALTER TABLE ops_vote ADD CONSTRAINT vote_on_the_frozen_request
    FOREIGN KEY (request_id, requested_by_id, digest)
    REFERENCES ops_approvalrequest (id, requested_by_id, digest);

CREATE FUNCTION ops_vote_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE request ops_approvalrequest;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'a vote is history: it is neither changed nor removed' USING ERRCODE = 'check_violation';
    END IF;
    SELECT * INTO request FROM ops_approvalrequest WHERE id = NEW.request_id FOR UPDATE;
    IF request.state <> 'pending' OR request.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'request % is not open for votes', NEW.request_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vote_guard BEFORE INSERT OR UPDATE OR DELETE ON ops_vote
    FOR EACH ROW EXECUTE FUNCTION ops_vote_guard();
"""

REQUESTS = """
CREATE FUNCTION ops_request_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a request is never removed' USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' OR NEW.execution_state <> 'not_run' THEN
            RAISE EXCEPTION 'a request is born pending' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.action, NEW.target, NEW.requested_by_id, NEW.reason, NEW.payload, NEW.before, NEW.diff,
        NEW.digest, NEW.quorum, NEW.policy, NEW.config_version, NEW.fence, NEW.source, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.action, OLD.target, OLD.requested_by_id, OLD.reason, OLD.payload, OLD.before, OLD.diff,
        OLD.digest, OLD.quorum, OLD.policy, OLD.config_version, OLD.fence, OLD.source, OLD.created_at) THEN
        RAISE EXCEPTION 'what was asked for is frozen' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.execution_state <> 'not_run' OR (OLD.state || '>' || NEW.state) NOT IN (
        'pending>approved', 'pending>rejected', 'pending>cancelled', 'pending>expired', 'pending>voided',
        'approved>cancelled', 'approved>expired', 'approved>voided')) THEN
        RAISE EXCEPTION 'a request does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'approved' AND OLD.state = 'pending' THEN
        IF (SELECT count(*) FROM ops_vote v WHERE v.request_id = NEW.id AND v.verdict = 'approve') < NEW.quorum THEN
            RAISE EXCEPTION 'request % lacks votes', NEW.id USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.expires_at <> OLD.expires_at THEN
        RAISE EXCEPTION 'only approval changes when a request expires' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.execution_state <> OLD.execution_state AND (NEW.state <> 'approved' OR OLD.execution_state = 'executed') THEN
        RAISE EXCEPTION 'only an approved request is executed, and once' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_guard BEFORE INSERT OR UPDATE OR DELETE ON ops_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION ops_request_guard();
"""

# Other apps' triggers call it too: use up the approved, unexpired, unused request of that action, with its votes.
# One statement that looks and marks: a request is used once, also by two transactions at the same time.
QUORUM = """
CREATE FUNCTION ops_consume_approval(wanted_request uuid, wanted_action text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ops_approvalrequest r SET execution_state = 'executed', executed_at = clock_timestamp()
     WHERE r.id = wanted_request AND r.action = wanted_action AND r.state = 'approved'
       AND r.execution_state = 'not_run' AND r.expires_at > clock_timestamp()
       AND (SELECT count(DISTINCT v.approver_id) FROM ops_vote v
             WHERE v.request_id = r.id AND v.verdict = 'approve') >= r.quorum;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% needs an approved, unexpired, unused request', wanted_action
            USING ERRCODE = 'check_violation';
    END IF;
END $$;
"""

DESK = """
CREATE FUNCTION ops_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION ops_desk_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.mode = 'HOLD' AND NEW.mode = 'RUN' THEN
        PERFORM ops_consume_approval(NEW.approval_id, 'ops.resume');
    END IF;
    IF OLD.safe_mode AND NOT NEW.safe_mode THEN
        PERFORM ops_consume_approval(NEW.approval_id, 'ops.safe_mode');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER desk_guard BEFORE UPDATE ON ops_deskstate
    FOR EACH ROW EXECUTE FUNCTION ops_desk_guard();

CREATE FUNCTION ops_desk_birth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.mode <> 'HOLD' OR NOT NEW.safe_mode THEN
        RAISE EXCEPTION 'a desk is born in HOLD and SAFE_MODE' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER desk_birth BEFORE INSERT ON ops_deskstate
    FOR EACH ROW EXECUTE FUNCTION ops_desk_birth();
CREATE TRIGGER desk_stays BEFORE DELETE ON ops_deskstate FOR EACH ROW EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_cause_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.source, NEW.reason, NEW.scope_type, NEW.scope_key, NEW.opened_at, NEW.raised_by_id)
       IS DISTINCT FROM
       (OLD.id, OLD.source, OLD.reason, OLD.scope_type, OLD.scope_key, OLD.opened_at, OLD.raised_by_id) THEN
        RAISE EXCEPTION 'what caused a HOLD is frozen' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'open>resolved', 'open>closed', 'resolved>closed') THEN
        RAISE EXCEPTION 'a cause does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cause_guard BEFORE UPDATE ON ops_holdcause
    FOR EACH ROW EXECUTE FUNCTION ops_cause_guard();
CREATE TRIGGER cause_stays BEFORE DELETE ON ops_holdcause FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""

HISTORY = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON ops_auditentry
    FOR EACH ROW EXECUTE FUNCTION ops_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON ops_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <> OLD.seq + 1 THEN
        RAISE EXCEPTION 'the audit head goes from % to %', OLD.seq, OLD.seq + 1 USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER head_guard BEFORE UPDATE ON ops_audithead
    FOR EACH ROW EXECUTE FUNCTION ops_head_guard();
CREATE TRIGGER head_stays BEFORE DELETE ON ops_audithead FOR EACH ROW EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_config_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.version, NEW.profile, NEW.yaml, NEW.digest, NEW.author_id, NEW.created_at)
       IS DISTINCT FROM
       (OLD.version, OLD.profile, OLD.yaml, OLD.digest, OLD.author_id, OLD.created_at) THEN
        RAISE EXCEPTION 'a stored configuration is kept word for word' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER config_guard BEFORE UPDATE ON ops_configversion
    FOR EACH ROW EXECUTE FUNCTION ops_config_guard();
CREATE TRIGGER config_stays BEFORE DELETE ON ops_configversion FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("ops", "0001_initial")]
    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (VOTES, REQUESTS, QUORUM, DESK, HISTORY)
    ]
