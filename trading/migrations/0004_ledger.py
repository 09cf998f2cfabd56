"""The ledger: entries whose lines balance, the venues' statements, transfers; all but the last append-only."""

import uuid
from decimal import Decimal

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

BALANCE = """
CREATE FUNCTION trading_ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    about bigint;
    odd record;
BEGIN
    IF TG_TABLE_NAME = 'trading_ledgerentry' THEN
        about := NEW.id;
    ELSE
        about := NEW.entry_id;
    END IF;
    SELECT currency, sum(amount) AS total INTO odd FROM trading_ledgerline
     WHERE entry_id = about GROUP BY currency HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry %: lines in % add up to %, not 0', about, odd.currency, odd.total
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM trading_ledgerline WHERE entry_id = about) THEN
        RAISE EXCEPTION 'ledger entry % has no lines', about USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledgerentry_balanced AFTER INSERT ON trading_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trading_ledger_balanced();
CREATE CONSTRAINT TRIGGER ledgerline_balanced AFTER INSERT ON trading_ledgerline
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trading_ledger_balanced();
"""

JOURNALS = "".join(
    f"""
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""
    for table in (
        "trading_fundingpayment",
        "trading_ledgerentry",
        "trading_ledgerline",
        "trading_venuebill",
    )
)

TRANSFERS = """
CREATE FUNCTION trading_transfer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.from_venue, NEW.to_venue, NEW.currency, NEW.amount, NEW.txid) IS DISTINCT FROM
       (OLD.id, OLD.from_venue, OLD.to_venue, OLD.currency, OLD.amount, OLD.txid)
       OR (OLD.departure_id IS NOT NULL AND NEW.departure_id IS DISTINCT FROM OLD.departure_id)
       OR (OLD.arrival_id IS NOT NULL AND NEW.arrival_id IS DISTINCT FROM OLD.arrival_id) THEN
        RAISE EXCEPTION 'what is known of a transfer is frozen' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfer_guard BEFORE UPDATE ON trading_transfer
    FOR EACH ROW EXECUTE FUNCTION trading_transfer_guard();
CREATE TRIGGER transfer_kept BEFORE DELETE ON trading_transfer FOR EACH ROW EXECUTE FUNCTION ops_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0003_rescue"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(max_length=200, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("opening", "opening"),
                            ("fill", "fill"),
                            ("rounding", "rounding"),
                            ("funding", "funding"),
                            ("transfer", "transfer"),
                            ("other", "other"),
                            ("adjustment", "adjustment"),
                        ],
                        max_length=12,
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                ("symbol", models.CharField(blank=True, max_length=40)),
                ("detail", models.TextField(blank=True)),
                ("at", models.DateTimeField(help_text="When it happened, by the venue's clock")),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
                (
                    "execution",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="trading.execution",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "ledger entries",
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="FundingPayment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                ("symbol", models.CharField(max_length=40)),
                ("currency", models.CharField(max_length=12)),
                (
                    "qty",
                    models.DecimalField(
                        decimal_places=18,
                        default=Decimal("0"),
                        help_text="Held at that instant, base coin, signed",
                        max_digits=38,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=18, help_text="> 0 received", max_digits=38)),
                ("at", models.DateTimeField()),
                (
                    "execution",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="funding",
                        to="trading.execution",
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="funding",
                        to="trading.ledgerentry",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="LedgerLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                (
                    "account",
                    models.CharField(
                        choices=[
                            ("wallet", "wallet"),
                            ("opening", "opening"),
                            ("realised", "realised"),
                            ("fees", "fees"),
                            ("funding", "funding"),
                            ("rounding", "rounding"),
                            ("transit", "transit"),
                            ("adjustment", "adjustment"),
                            ("other", "other"),
                            ("position", "position"),
                            ("market", "market"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "currency",
                    models.CharField(help_text="Of base coins: the instrument's symbol", max_length=40),
                ),
                ("amount", models.DecimalField(decimal_places=18, max_digits=38)),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="trading.ledgerentry",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="VenueBill",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("venue", models.CharField(max_length=32)),
                ("bill_id", models.CharField(max_length=64)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("trade", "trade"),
                            ("funding", "funding"),
                            ("transfer", "transfer"),
                            ("other", "other"),
                        ],
                        max_length=8,
                    ),
                ),
                ("symbol", models.CharField(blank=True, max_length=40)),
                ("currency", models.CharField(max_length=12)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=18, help_text="Change of the wallet, fee included", max_digits=38
                    ),
                ),
                (
                    "fee",
                    models.DecimalField(
                        decimal_places=18, default=Decimal("0"), help_text="> 0 paid", max_digits=38
                    ),
                ),
                ("trade_id", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["venue", "at"], name="trading_ven_venue_6af575_idx"),
                    models.Index(fields=["venue", "symbol", "trade_id"], name="trading_ven_venue_7ef0fd_idx"),
                ],
                "constraints": [models.UniqueConstraint(fields=("venue", "bill_id"), name="bill_once")],
            },
        ),
        migrations.CreateModel(
            name="Transfer",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("from_venue", models.CharField(max_length=32)),
                ("to_venue", models.CharField(max_length=32)),
                ("currency", models.CharField(max_length=12)),
                ("amount", models.DecimalField(decimal_places=18, max_digits=38)),
                ("txid", models.CharField(max_length=128, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "arrival",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="arrived",
                        to="trading.venuebill",
                    ),
                ),
                (
                    "departure",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="departed",
                        to="trading.venuebill",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
            },
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["at"], name="trading_led_at_c1cc32_idx"),
        ),
        migrations.AddConstraint(
            model_name="fundingpayment",
            constraint=models.UniqueConstraint(
                fields=("entry", "execution"), name="funding_share_once", nulls_distinct=False
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerline",
            index=models.Index(fields=["venue", "account", "currency"], name="trading_led_venue_742575_idx"),
        ),
        migrations.AddConstraint(
            model_name="ledgerline",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount", 0), _negated=True), name="ledger_line_not_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="transfer_amount_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="transfer",
            constraint=models.CheckConstraint(
                condition=models.Q(("from_venue", models.F("to_venue")), _negated=True),
                name="transfer_between_two",
            ),
        ),
        *(migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in (BALANCE, JOURNALS, TRANSFERS)),
    ]
