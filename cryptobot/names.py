"""Models are written in English; pages show their names in the reader's language.

Names become translatable once all models are loaded: models and migrations stay free of it.
"""

from typing import Any

from django.apps import apps
from django.db.models import Field
from django.utils.translation import gettext_lazy

OURS = ("ops", "risk", "leadership", "trading")
#: What `translate` has seen: names of apps, models and fields, labels of choices that are not mere codes.
TEXTS: set[str] = set()


def translate() -> None:
    for label in OURS:
        app = apps.get_app_config(label)
        app.verbose_name = _lazily(app.verbose_name)
        for model in app.get_models():
            about = model._meta
            if isinstance(about.verbose_name, str):
                about.verbose_name = _lazily(about.verbose_name)
                about.verbose_name_plural = _lazily(str(about.verbose_name_plural))
            for field in about.local_fields:
                _translate_field(field)


def _translate_field(field: "Field[Any, Any]") -> None:
    field.verbose_name = _lazily(field.verbose_name)
    if field.choices:
        field.choices = [(value, _lazily(text) if text != value else text) for value, text in field.choices]


def _lazily(text: Any) -> Any:
    """What is translatable already is somebody else's."""
    if not isinstance(text, str):
        return text
    TEXTS.add(text)
    return gettext_lazy(text)
