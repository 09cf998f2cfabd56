"""An opening order is claimed under the term that leads, or not at all (spec 5): the database's own refusal."""

from django.db import migrations, models

CLAIMS = """
CREATE FUNCTION trading_claim_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM leadership_require_term(NEW.fence);
    RETURN NEW;
END $$;
CREATE TRIGGER claim_term BEFORE UPDATE ON trading_orderintent
    FOR EACH ROW WHEN (NEW.state = 'SENDING' AND OLD.state <> 'SENDING' AND NEW.purpose IN ('open', 'proceed'))
    EXECUTE FUNCTION trading_claim_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("trading", "0010_kill_jobs"), ("leadership", "0002_terms")]

    operations = [
        migrations.RunSQL(CLAIMS, migrations.RunSQL.noop),
        migrations.AddIndex("orderintent", models.Index(fields=["fence"], name="order_intent_fence")),
    ]
