from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ops", "0003_deliveries")]

    operations = [
        migrations.AddField(
            "deskstate",
            "fence",
            models.BigIntegerField(
                default=0, help_text="The term that went to RUN: no other is in RUN by it"
            ),
        ),
    ]
