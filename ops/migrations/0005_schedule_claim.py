from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ops", "0004_term")]

    operations = [
        migrations.CreateModel(
            name="ScheduleClaim",
            fields=[
                ("name", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("instance", models.CharField(max_length=16)),
                ("sent_at", models.DateTimeField()),
            ],
        ),
    ]
