"""The controls that the database itself holds (spec 3.2.3). Code may be wrong; these refuse all the same."""

from django.db import migrations

VOTES = """
ALTER TABLE ops_vote ADD CONSTRAINT vote_on_the_frozen_request
    FOREIGN KEY (request_id, requested_by_id, digest)
    REFERENCES ops_approvalrequest (id, requested_by_id, digest);

CREATE FUNCTION ops_vote_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE request ops_approvalrequest; voter ops_user;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a vote is history: it is not removed' USING ERRCODE = 'check_violation';
    END IF;
    SELECT * INTO request FROM ops_approvalrequest WHERE id = NEW.request_id FOR UPDATE;
    IF request.state <> 'pending' OR request.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'request % is not open for votes', NEW.request_id USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.withdrawn_at IS NOT NULL OR NEW.withdrawn_at IS NULL OR
           (NEW.id, NEW.request_id, NEW.requested_by_id, NEW.digest, NEW.approver_id, NEW.verdict, NEW.comment, NEW.at)
           IS DISTINCT FROM
           (OLD.id, OLD.request_id, OLD.requested_by_id, OLD.digest, OLD.approver_id, OLD.verdict, OLD.comment, OLD.at)
        THEN
            RAISE EXCEPTION 'a vote is history: it is withdrawn once, and not changed' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    SELECT * INTO voter FROM ops_user WHERE id = NEW.approver_id;
    IF NOT voter.is_active OR voter.no_vote_until > clock_timestamp() THEN
        RAISE EXCEPTION '% does not vote now', voter.username USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vote_guard BEFORE INSERT OR UPDATE OR DELETE ON ops_vote
    FOR EACH ROW EXECUTE FUNCTION ops_vote_guard();
"""

REQUESTS = """
CREATE FUNCTION ops_approvers(wanted_request uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(DISTINCT approver_id) FROM ops_vote
     WHERE request_id = wanted_request AND verdict = 'approve' AND withdrawn_at IS NULL
$$;

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
        IF ops_approvers(NEW.id) < NEW.quorum THEN
            RAISE EXCEPTION 'request % lacks votes', NEW.id USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.expires_at <> OLD.expires_at THEN
        RAISE EXCEPTION 'only approval changes when a request expires' USING ERRCODE = 'check_violation';
    END IF;
    NEW.executed_txid := OLD.executed_txid;
    IF NEW.execution_state <> OLD.execution_state THEN
        IF NEW.state <> 'approved' OR OLD.execution_state = 'executed' OR NEW.expires_at <= clock_timestamp()
           OR ops_approvers(NEW.id) < NEW.quorum THEN
            RAISE EXCEPTION 'only an approved, unexpired request is executed, and once'
                USING ERRCODE = 'check_violation';
        END IF;
        NEW.executed_txid := pg_current_xact_id()::text::bigint;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_guard BEFORE INSERT OR UPDATE OR DELETE ON ops_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION ops_request_guard();
"""

# Other apps' triggers call it too: use up the approved, unexpired, unused request of one of these actions and that
# target. One statement that looks and marks: a request is used once, also by two transactions at the same time.
QUORUM = """
CREATE FUNCTION ops_consume_approval(wanted_request uuid, wanted_actions text[], wanted_target text)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ops_approvalrequest r SET execution_state = 'executed', executed_at = clock_timestamp()
     WHERE r.id = wanted_request AND r.action = ANY (wanted_actions) AND r.target = wanted_target
       AND r.state = 'approved' AND r.execution_state = 'not_run' AND r.expires_at > clock_timestamp()
       AND ops_approvers(r.id) >= r.quorum;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% of % needs an approved, unexpired, unused request', wanted_actions[1], wanted_target
            USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- For rows that carry no reference: whether this transaction used up a request of such an action and target.
-- Asked when the transaction commits, since the request is marked after the change.
CREATE FUNCTION ops_was_approved(wanted_actions text[], wanted_target text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM ops_approvalrequest
                    WHERE executed_txid = pg_current_xact_id()::text::bigint
                      AND action = ANY (wanted_actions) AND target = wanted_target)
$$;
"""

DESK = """
CREATE FUNCTION ops_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;

CREATE FUNCTION ops_desk_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.mode = 'HOLD' AND NEW.mode = 'RUN' AND OLD.safe_mode AND NOT NEW.safe_mode THEN
        PERFORM ops_consume_approval(NEW.approval_id, ARRAY['ops.launch'], 'desk');
    ELSIF OLD.mode = 'HOLD' AND NEW.mode = 'RUN' THEN
        PERFORM ops_consume_approval(NEW.approval_id, ARRAY['ops.resume', 'ops.launch'], 'desk');
    ELSIF OLD.safe_mode AND NOT NEW.safe_mode THEN
        PERFORM ops_consume_approval(NEW.approval_id, ARRAY['ops.safe_mode', 'ops.launch'], 'desk');
    END IF;
    IF OLD.post_only AND NOT NEW.post_only THEN
        PERFORM ops_consume_approval(NEW.approval_id, ARRAY['ops.post_only'], 'desk');
    END IF;
    IF OLD.reduce_only AND NOT NEW.reduce_only THEN
        PERFORM ops_consume_approval(NEW.approval_id, ARRAY['ops.reduce_only'], 'desk');
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
    IF (NEW.id, NEW.source, NEW.reason, NEW.scope_type, NEW.scope_key, NEW.opened_at, NEW.raised_by_id,
        NEW.manual)
       IS DISTINCT FROM
       (OLD.id, OLD.source, OLD.reason, OLD.scope_type, OLD.scope_key, OLD.opened_at, OLD.raised_by_id,
        OLD.manual) THEN
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

-- A scoped cause blocks its scope while the desk runs: closing it opens risk as leaving HOLD does.
CREATE FUNCTION ops_cause_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'closed' AND OLD.state <> 'closed'
       AND NOT ops_was_approved(ARRAY['ops.resume', 'ops.launch'], 'desk')
       AND NOT ops_was_approved(ARRAY['ops.resume'], NEW.scope_type || ':' || NEW.scope_key) THEN
        RAISE EXCEPTION 'closing the cause % needs an approved request', NEW.source USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER cause_gate AFTER UPDATE OF state ON ops_holdcause
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_cause_gate();
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


PEOPLE = """
CREATE FUNCTION ops_user_birth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.born_txid := CASE TG_OP WHEN 'INSERT' THEN pg_current_xact_id()::text::bigint ELSE OLD.born_txid END;
    RETURN NEW;
END $$;
CREATE TRIGGER user_birth BEFORE INSERT OR UPDATE ON ops_user FOR EACH ROW EXECUTE FUNCTION ops_user_birth();

-- The first people of a desk come together, in one transaction, when nobody is there who could approve them.
CREATE FUNCTION ops_are_first_people() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT 1 FROM ops_user WHERE born_txid <> pg_current_xact_id()::text::bigint)
$$;

CREATE FUNCTION ops_user_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NOT ((NEW.is_active AND NOT OLD.is_active) OR (NEW.is_superuser AND NOT OLD.is_superuser)
                                 OR (NEW.is_staff AND NOT OLD.is_staff)) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' AND NOT (NEW.is_active OR NEW.is_superuser OR NEW.is_staff) THEN
        RETURN NULL;
    END IF;
    IF NEW.is_superuser AND NOT ops_are_first_people() THEN
        RAISE EXCEPTION 'nobody becomes a superuser here' USING ERRCODE = 'check_violation';
    END IF;
    IF NOT ops_are_first_people()
       AND NOT ops_was_approved(ARRAY['ops.create_user', 'ops.activate_user'], 'user:' || NEW.username) THEN
        RAISE EXCEPTION 'user:% needs an approved request to come in', NEW.username USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER user_gate AFTER INSERT OR UPDATE OF is_active, is_superuser, is_staff ON ops_user
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_user_gate();
CREATE TRIGGER user_stays BEFORE DELETE ON ops_user FOR EACH ROW EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_role_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE person text; role text;
BEGIN
    SELECT username INTO person FROM ops_user WHERE id = NEW.user_id;
    SELECT name INTO role FROM auth_group WHERE id = NEW.group_id;
    IF NOT ops_are_first_people()
       AND NOT ops_was_approved(ARRAY['ops.create_user'], 'user:' || person)
       AND NOT ops_was_approved(ARRAY['ops.grant_role'], role || ' to user:' || person) THEN
        RAISE EXCEPTION 'role % of % needs an approved request', role, person USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER role_gate AFTER INSERT OR UPDATE ON ops_user_groups
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_role_gate();

CREATE FUNCTION ops_direct_permission_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ops_are_first_people() THEN
        RAISE EXCEPTION 'permissions come by roles and on objects, not to a person directly'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER direct_permission_gate AFTER INSERT OR UPDATE ON ops_user_user_permissions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_direct_permission_gate();

-- The target of `ops.grant_object_permission`: "trading.execute on okx to user:alice".
CREATE FUNCTION ops_object_permission_gate() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held text; holder text;
BEGIN
    SELECT c.app_label || '.' || p.codename INTO held FROM auth_permission p
      JOIN django_content_type c ON c.id = p.content_type_id WHERE p.id = NEW.permission_id;
    IF TG_TABLE_NAME = 'guardian_userobjectpermission' THEN
        SELECT 'user:' || username INTO holder FROM ops_user WHERE id = (to_jsonb(NEW) ->> 'user_id')::bigint;
    ELSE
        SELECT 'role:' || name INTO holder FROM auth_group WHERE id = (to_jsonb(NEW) ->> 'group_id')::bigint;
    END IF;
    IF NOT ops_are_first_people()
       AND NOT ops_was_approved(ARRAY['ops.grant_object_permission'], format('%s on %s to %s', held, NEW.object_pk, holder)) THEN
        RAISE EXCEPTION '% on % to % needs an approved request', held, NEW.object_pk, holder
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER object_permission_gate AFTER INSERT OR UPDATE ON guardian_userobjectpermission
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_object_permission_gate();
CREATE CONSTRAINT TRIGGER object_permission_gate AFTER INSERT OR UPDATE ON guardian_groupobjectpermission
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_object_permission_gate();
"""

POLICIES = """
CREATE FUNCTION ops_policy_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.quorum IS NULL AND NEW.vote_from = '' THEN
        RETURN NULL;  -- says nothing of its own: the configuration and the action decide
    END IF;
    IF NOT ops_was_approved(ARRAY['ops.set_policy'], NEW.action) THEN
        RAISE EXCEPTION 'the policy of % needs an approved request', NEW.action USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER policy_gate AFTER INSERT OR UPDATE ON ops_approvalpolicy
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_policy_gate();
CREATE TRIGGER policy_stays BEFORE DELETE ON ops_approvalpolicy FOR EACH ROW EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_envelope_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.used <> 0 OR NEW.ended_at IS NOT NULL OR NEW.expires_at > clock_timestamp() + interval '12 hours' THEN
            RAISE EXCEPTION 'an envelope is born unused, for 12 hours at most' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.request_id, NEW.action, NEW.bounds, NEW.count, NEW.created_at, NEW.expires_at)
       IS DISTINCT FROM
       (OLD.id, OLD.request_id, OLD.action, OLD.bounds, OLD.count, OLD.created_at, OLD.expires_at)
       OR NEW.used < OLD.used OR (OLD.ended_at IS NOT NULL AND NEW.ended_at IS DISTINCT FROM OLD.ended_at) THEN
        RAISE EXCEPTION 'an envelope is frozen: it is used up or ended' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER envelope_guard BEFORE INSERT OR UPDATE ON ops_envelope
    FOR EACH ROW EXECUTE FUNCTION ops_envelope_guard();
CREATE TRIGGER envelope_stays BEFORE DELETE ON ops_envelope FOR EACH ROW EXECUTE FUNCTION ops_refuse();

CREATE FUNCTION ops_envelope_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ops_approvalrequest r WHERE r.id = NEW.request_id
                    AND r.action IN ('ops.launch', 'trading.grant_envelope')
                    AND r.executed_txid = pg_current_xact_id()::text::bigint) THEN
        RAISE EXCEPTION 'an envelope needs an approved request' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER envelope_gate AFTER INSERT ON ops_envelope
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ops_envelope_gate();

-- One statement that looks and counts: an envelope of n covers n runs, also when they come at the same time.
CREATE FUNCTION ops_use_envelope(wanted uuid, wanted_action text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ops_envelope SET used = used + 1
     WHERE id = wanted AND action = wanted_action AND used < count AND ended_at IS NULL
       AND expires_at > clock_timestamp();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'envelope % is used up, ended or over', wanted USING ERRCODE = 'check_violation';
    END IF;
END $$;
"""

INCIDENTS = """
CREATE FUNCTION ops_incident_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.code, NEW.source, NEW.severity, NEW.component, NEW.summary, NEW.opened_by_id, NEW.opened_at)
       IS DISTINCT FROM
       (OLD.id, OLD.code, OLD.source, OLD.severity, OLD.component, OLD.summary, OLD.opened_by_id, OLD.opened_at) THEN
        RAISE EXCEPTION 'what an incident is about is frozen' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state = 'closed' THEN
        RAISE EXCEPTION 'a closed incident is kept as it is' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'closed' AND NEW.severity = 'P0' AND NEW.root_cause_at IS NULL THEN
        RAISE EXCEPTION 'a P0 is closed with an acknowledged root cause' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state <> OLD.state AND
       array_position(ARRAY['open', 'acknowledged', 'mitigated', 'resolved', 'closed'], NEW.state::text) <
       array_position(ARRAY['open', 'acknowledged', 'mitigated', 'resolved', 'closed'], OLD.state::text) THEN
        RAISE EXCEPTION 'an incident does not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.root_cause_at IS NOT NULL AND (NEW.root_cause, NEW.root_cause_at, NEW.root_cause_by_id) IS DISTINCT FROM
       (OLD.root_cause, OLD.root_cause_at, OLD.root_cause_by_id) THEN
        RAISE EXCEPTION 'an acknowledged root cause is kept' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER incident_guard BEFORE UPDATE ON ops_incident
    FOR EACH ROW EXECUTE FUNCTION ops_incident_guard();
CREATE TRIGGER incident_stays BEFORE DELETE ON ops_incident FOR EACH ROW EXECUTE FUNCTION ops_refuse();
CREATE TRIGGER incidentevent_append_only BEFORE UPDATE OR DELETE ON ops_incidentevent
    FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""

# (table, the column that names the target, events). Readings in a control row (last_login, the last code used) are
# left out by naming the columns that count.
CONTROL_TABLES = (
    ("ops_deskstate", "id", "UPDATE OR DELETE"),  # born in HOLD and SAFE_MODE: see desk_birth
    ("ops_holdcause", "id", "INSERT OR UPDATE OR DELETE"),
    ("ops_approvalrequest", "id", "INSERT OR UPDATE OR DELETE"),
    ("ops_vote", "id", "INSERT OR UPDATE OR DELETE"),
    ("ops_approvalpolicy", "action", "UPDATE OR DELETE"),
    ("ops_envelope", "id", "INSERT OR UPDATE OR DELETE"),
    ("ops_configversion", "version", "INSERT OR UPDATE OR DELETE"),
    ("ops_incident", "id", "INSERT OR UPDATE OR DELETE"),
    (
        "ops_user",
        "id",
        "INSERT OR DELETE OR UPDATE OF username, password, first_name, last_name, email, is_active, is_staff, "
        "is_superuser, no_vote_until, must_change_password",
    ),
    ("ops_user_groups", "user_id", "INSERT OR UPDATE OR DELETE"),
    ("ops_user_user_permissions", "user_id", "INSERT OR UPDATE OR DELETE"),
    ("ops_secondfactor", "user_id", "INSERT OR DELETE OR UPDATE OF key, confirmed_at"),
    ("ops_token", "token_key", "INSERT OR UPDATE OR DELETE"),
    ("auth_group", "id", "INSERT OR UPDATE OR DELETE"),
    ("auth_group_permissions", "group_id", "INSERT OR UPDATE OR DELETE"),
    ("guardian_userobjectpermission", "id", "INSERT OR UPDATE OR DELETE"),
    ("guardian_groupobjectpermission", "id", "INSERT OR UPDATE OR DELETE"),
)

# The entry is matched on the transaction, the table and the row. tx_at beside the number: in a database restored
# into a new cluster the numbers begin again.
AUDITED = """
CREATE FUNCTION ops_audit_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.txid := pg_current_xact_id()::text::bigint;
    NEW.tx_at := transaction_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER audit_stamp BEFORE INSERT ON ops_auditentry FOR EACH ROW EXECUTE FUNCTION ops_audit_stamp();

CREATE FUNCTION ops_must_be_audited() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE touched text;
BEGIN
    touched := TG_TABLE_NAME || ':' ||
        (CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END ->> TG_ARGV[0]);
    IF NOT EXISTS (SELECT 1 FROM ops_auditentry e
                    WHERE e.txid = pg_current_xact_id()::text::bigint AND e.tx_at = transaction_timestamp()
                      AND e.touches @> to_jsonb(touched)) THEN
        RAISE EXCEPTION '% on % is refused: no audit entry of this transaction names it', TG_OP, touched
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
""" + "".join(
    f"""
CREATE CONSTRAINT TRIGGER must_be_audited AFTER {events} ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ops_must_be_audited('{column}');
"""
    for table, column, events in CONTROL_TABLES
)

ALL = (VOTES, REQUESTS, QUORUM, DESK, HISTORY, PEOPLE, POLICIES, INCIDENTS, AUDITED)


class Migration(migrations.Migration):
    dependencies = [
        ("ops", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("guardian", "0003_remove_groupobjectpermission_guardian_gr_content_ae6aec_idx_and_more"),
    ]
    operations = [migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in ALL]
