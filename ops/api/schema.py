"""What drf-spectacular cannot see by itself: inputs of actions, the shape of refusals, names of operations.

A view with `request_schema()` describes the body of its POST with it, one with `schema_parameters()` what
only the registry knows; every operation may answer a Problem.
"""

import re
from typing import Any

from drf_spectacular.openapi import AutoSchema

from ops.actions.base import Action, Status
from ops.actions.inputs import json_schema

MAX_WORDS = 4_000  # ops.actions.runner.require_words
REASON = {"type": "string", "maxLength": MAX_WORDS, "description": "Why; kept in the audit log"}
SUBMISSION = {
    "type": "object",
    "properties": {"action": {"type": "string"}, "input": {"type": "object"}, "reason": REASON},
    "required": ["action"],
    "additionalProperties": False,
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable, `errors` names each field or missing item.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "code", "detail", "request_id"],
}
OUTCOME = {
    "type": "object",
    "description": "An action's answer; what stands beside `status` depends on it.",
    "properties": {
        "status": {"type": "string", "enum": [status.value for status in Status]},
        "audit_seq": {"type": "integer", "nullable": True},
    },
    "required": ["status"],
}


def add_components(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: what the raw `$ref`s point at."""
    result["components"].setdefault("schemas", {}).update(Outcome=OUTCOME, Problem=PROBLEM)
    return result


def action_body(action: Action[Any]) -> dict[str, Any]:
    """The action's input and the reason, as `ops.api.views.submit` takes them."""
    body = json_schema(action.Input)
    required = [*body.get("required", []), *(["reason"] if action.reason_required else [])]
    properties = {**body["properties"], "reason": REASON}
    return {**body, "properties": properties, "description": action.help} | (
        {"required": required} if required else {}
    )


class Schema(AutoSchema):
    def get_operation_id(self) -> str:
        """Method and path: unique, and what a reader of the API would call it."""
        return "_".join([self.method.lower(), *re.findall(r"\w+", self.path.removeprefix("/api"))])

    def get_request_serializer(self) -> Any:
        described = self._described()
        return {"application/json": described} if described else super().get_request_serializer()

    def get_override_parameters(self) -> Any:
        describe = getattr(self.view, "schema_parameters", None)
        return describe() if describe is not None else super().get_override_parameters()

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own, not DRF's
        return str(self._described().get("description", "")) or super().get_description()

    def _described(self) -> dict[str, Any]:
        describe = getattr(self.view, "request_schema", None) if self.method == "POST" else None
        return describe() if describe is not None else {}

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        """Not `get_response_serializers`, which `extend_schema` replaces."""
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        refusal = {"content": {"application/problem+json": problem}, "description": "Refused, and why"}
        return {**super()._get_response_bodies(direction), "default": refusal}
