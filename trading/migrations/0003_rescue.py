"""What a rescue needs to remember, and the moves of an execution whose leg a venue closed by itself."""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

controls = import_module("trading.migrations.0002_controls")
EXECUTION_MOVES = (
    *controls.EXECUTION_MOVES,
    "BALANCED>FLAT_AFTER_RESCUE",
    "BALANCED>IMBALANCED",
    "BALANCED>RESIDUAL_HELD",
    "IMBALANCED>BALANCED",
    "IMBALANCED>CLOSING",
    "IMBALANCED>FLAT_AFTER_RESCUE",
    "RESCUE_PROCEED>CLOSING",
    "RESCUE_REVERSE>CLOSING",
    "RESIDUAL_HELD>FLAT_AFTER_RESCUE",
    "RESIDUAL_HELD>IMBALANCED",
    "WORKING>CLOSING",
    "WORKING>FLAT_AFTER_RESCUE",
)


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0002_controls"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="naked_ms",
            field=models.BigIntegerField(default=0, help_text="How long they differed in all, before that"),
        ),
        migrations.AddField(
            model_name="execution",
            name="naked_since",
            field=models.DateTimeField(
                help_text="Since when the two open quantities differ; empty while they are equal", null=True
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="naked_told",
            field=models.BooleanField(default=False, help_text="People were called: naked for too long"),
        ),
        migrations.AddField(
            model_name="execution",
            name="ordered",
            field=models.CharField(
                blank=True, help_text="What a person told the rescue to do: proceed or reverse", max_length=8
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="ordered_max_loss",
            field=models.DecimalField(
                decimal_places=18,
                help_text="The largest loss that person allowed, quote currency",
                max_digits=38,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="residual_owner",
            field=models.ForeignKey(
                help_text="Who looks after what is too small to trade",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="orderintent",
            name="observed",
            field=models.DecimalField(
                decimal_places=18,
                help_text="In doubt: filled so far as the venue's position tells; hedged by, never booked",
                max_digits=38,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="orderintent",
            name="observed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="orderintent",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("open", "open"),
                    ("proceed", "proceed"),
                    ("reverse", "reverse"),
                    ("close", "close"),
                    ("forced", "forced"),
                ],
                max_length=8,
            ),
        ),
        migrations.RunSQL(controls.execution_guard(EXECUTION_MOVES), migrations.RunSQL.noop),
    ]
