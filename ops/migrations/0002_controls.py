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
    IF (NEW.id, NEW.action, NEW.target, NEW.requested_by_id, NEW.payload, NEW.before, NEW.digest, NEW.quorum,
        NEW.policy, NEW.config_version, NEW.fence, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.action, OLD.target, OLD.requested_by_id, OLD.payload, OLD.before, OLD.digest, OLD.quorum,
        OLD.policy, OLD.config_version, OLD.fence, OLD.created_at) THEN
        RAISE EXCEPTION 'what was asked for is frozen' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'pending>approved', 'pending>rejected', 'pending>cancelled', 'pending>expired', 'pending>voided',
        'approved>cancelled', 'approved>expired', 'approved>voided') THEN
        RAISE EXCEPTION 'a request does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'approved' AND OLD.state = 'pending' AND (
        SELECT count(*) FROM ops_vote v WHERE v.request_id = NEW.id AND v.verdict = 'approve') < NEW.quorum THEN
        RAISE EXCEPTION 'request % lacks votes', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.execution_state = 'executed' AND NEW.execution_state <> 'executed' THEN
        RAISE EXCEPTION 'an executed request stays executed' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_guard BEFORE UPDATE OR DELETE ON ops_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION ops_request_guard();
"""

# Other apps' triggers call it too: is this an approved, unexpired, unused request of that action, with its votes?
QUORUM = """
CREATE FUNCTION ops_require_approval(wanted_request uuid, wanted_action text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE request ops_approvalrequest;
BEGIN
    SELECT * INTO request FROM ops_approvalrequest WHERE id = wanted_request;
    IF request.id IS NULL OR request.action <> wanted_action OR request.state <> 'approved'
       OR request.execution_state = 'executed' OR request.expires_at <= clock_timestamp()
       OR (SELECT count(DISTINCT v.approver_id) FROM ops_vote v
           WHERE v.request_id = request.id AND v.verdict = 'approve') < request.quorum THEN
        RAISE EXCEPTION '% needs an approved, unexpired, unused request', wanted_action
            USING ERRCODE = 'check_violation';
    END IF;
END $$;

CREATE FUNCTION ops_desk_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.mode = 'HOLD' AND NEW.mode = 'RUN' THEN
        PERFORM ops_require_approval(NEW.approval_id, 'ops.resume');
    END IF;
    IF OLD.safe_mode AND NOT NEW.safe_mode THEN
        PERFORM ops_require_approval(NEW.approval_id, 'ops.safe_mode');
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
CREATE FUNCTION ops_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER desk_stays BEFORE DELETE ON ops_deskstate FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""

AUDIT = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON ops_auditentry
    FOR EACH ROW EXECUTE FUNCTION ops_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON ops_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION ops_refuse();
CREATE TRIGGER config_stays BEFORE DELETE ON ops_configversion FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [("ops", "0001_initial")]
    operations = [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (VOTES, REQUESTS, QUORUM, AUDIT)]
