"""The lease gets its holder and its clock; the history of terms; what the database refuses of an older term."""

from django.db import migrations, models

CONTROLS = """
CREATE FUNCTION leadership_lease_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'a fence only grows: % after %', NEW.fence, OLD.fence USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence = OLD.fence AND OLD.state = 'FREE' AND NEW.state = 'HELD' THEN
        RAISE EXCEPTION 'term % is over', OLD.fence USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence = OLD.fence AND NEW.state = 'HELD' AND OLD.expires_at <= clock_timestamp()
       AND NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
        RAISE EXCEPTION 'term % has lapsed: it is not revived', OLD.fence USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lease_guard BEFORE UPDATE ON leadership_lease
    FOR EACH ROW EXECUTE FUNCTION leadership_lease_guard();
CREATE TRIGGER lease_stays BEFORE DELETE ON leadership_lease FOR EACH ROW EXECUTE FUNCTION ops_refuse();
CREATE TRIGGER term_stays BEFORE DELETE ON leadership_term FOR EACH ROW EXECUTE FUNCTION ops_refuse();

-- Other rooms' triggers call it: the term is the current one, is held and opens until this transaction ends.
CREATE FUNCTION leadership_require_term(wanted bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM leadership_lease
      WHERE id = 1 AND fence = wanted AND state = 'HELD' AND draining_at IS NULL
        AND (expires_at IS NULL OR expires_at > clock_timestamp())
      FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'term % does not lead any more', wanted USING ERRCODE = 'check_violation';
    END IF;
END $$;

CREATE FUNCTION leadership_desk_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.mode = 'RUN' AND NEW.fence <> OLD.fence THEN
        RAISE EXCEPTION 'a desk in RUN does not change its term: HOLD first' USING ERRCODE = 'check_violation';
    END IF;
    PERFORM leadership_require_term(NEW.fence);
    RETURN NEW;
END $$;
CREATE TRIGGER desk_term BEFORE UPDATE ON ops_deskstate
    FOR EACH ROW WHEN (NEW.mode = 'RUN' AND (OLD.mode <> 'RUN' OR NEW.fence <> OLD.fence))
    EXECUTE FUNCTION leadership_desk_guard();

CREATE FUNCTION leadership_request_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM leadership_require_term(NEW.fence);
    RETURN NEW;
END $$;
-- Only what decides who leads is done without leading.
CREATE TRIGGER request_term BEFORE UPDATE ON ops_approvalrequest
    FOR EACH ROW WHEN (NEW.execution_state = 'executed' AND OLD.execution_state <> 'executed'
                       AND NEW.policy ->> 'danger' = 'increases' AND NEW.action NOT LIKE 'leadership.%')
    EXECUTE FUNCTION leadership_request_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("leadership", "0001_initial"), ("ops", "0004_term")]

    operations = [
        migrations.AlterField("lease", "fence", models.BigIntegerField(default=1, unique=True)),
        migrations.AddField(
            "lease", "owner", models.CharField(default="", help_text="Instance", max_length=16)
        ),
        migrations.AddField(
            "lease",
            "host",
            models.CharField(default="", help_text="Where people find the owner", max_length=80),
        ),
        migrations.AddField(
            "lease",
            "state",
            models.CharField(choices=[("FREE", "FREE"), ("HELD", "HELD")], default="FREE", max_length=4),
        ),
        migrations.AddField("lease", "hb_seq", models.BigIntegerField(default=0)),
        migrations.AddField("lease", "renewed_at", models.DateTimeField(null=True)),
        migrations.AddField("lease", "expires_at", models.DateTimeField(null=True)),
        migrations.AddField("lease", "draining_at", models.DateTimeField(null=True)),
        migrations.AddField("lease", "released_by", models.CharField(default="", max_length=16)),
        migrations.CreateModel(
            name="Term",
            fields=[
                ("fence", models.BigIntegerField(primary_key=True, serialize=False)),
                ("nonce", models.CharField(max_length=16)),
                ("owner", models.CharField(max_length=16)),
                ("host", models.CharField(blank=True, max_length=80)),
                ("how", models.CharField(help_text="free, stale, forced, alone", max_length=8)),
                ("began_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(null=True)),
                ("settled_at", models.DateTimeField(null=True)),
                ("last_hb_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("ended_why", models.CharField(blank=True, max_length=160)),
            ],
            options={"ordering": ["-fence"]},
        ),
        migrations.RunSQL(CONTROLS, migrations.RunSQL.noop),
    ]
