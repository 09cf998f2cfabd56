"""A close that is told to go on without a venue that cannot be reached."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0005_reconciliation"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="close_forced",
            field=models.BooleanField(
                default=False,
                help_text="Told to close a leg even while the venue of the other cannot be reached",
            ),
        ),
        migrations.AddField(
            model_name="flattenjob",
            name="forced",
            field=models.BooleanField(default=False),
        ),
    ]
