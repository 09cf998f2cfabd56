"""What reconciliation remembers: when each venue was compared, and what does not agree."""

import uuid
from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0004_ledger"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReconciliationState",
            fields=[
                ("venue", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("claimed_until", models.DateTimeField(help_text="One process compares at a time")),
                ("tried_at", models.DateTimeField(null=True)),
                (
                    "done_at",
                    models.DateTimeField(
                        help_text="The last time that the venue could be read whole", null=True
                    ),
                ),
                (
                    "money_at",
                    models.DateTimeField(
                        help_text="The last time that statement and balance were, too", null=True
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=300)),
                ("took_ms", models.IntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="ReconciliationBreak",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("venue", models.CharField(max_length=32)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("order_zombie", "order_zombie"),
                            ("order_orphan", "order_orphan"),
                            ("order_foreign", "order_foreign"),
                            ("fill_forced", "fill_forced"),
                            ("fill_foreign", "fill_foreign"),
                            ("position", "position"),
                            ("attribution", "attribution"),
                            ("money", "money"),
                        ],
                        max_length=20,
                    ),
                ),
                ("symbol", models.CharField(blank=True, max_length=40)),
                (
                    "key",
                    models.CharField(
                        help_text="What it is about: an order, a trade, an instrument", max_length=120
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=18, default=Decimal("0"), max_digits=38)),
                ("detail", models.TextField()),
                ("data", models.JSONField(default=dict)),
                ("opened_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("warned_at", models.DateTimeField(null=True)),
                ("held_at", models.DateTimeField(null=True)),
                (
                    "accepted_at",
                    models.DateTimeField(help_text="Two people live with it, at this very amount", null=True),
                ),
                ("accepted_why", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-opened_at"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("venue", "kind", "symbol", "key"),
                        name="break_open_once",
                    )
                ],
            },
        ),
    ]
