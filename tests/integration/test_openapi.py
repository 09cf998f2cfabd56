"""The API's own description: complete, unambiguous, and nothing that fits it (or does not) ends in a 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.http import QueryDict
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from ops.actions import registry
from tests.in_process import fresh_desk, paper_venues

METHODS = {"get", "post", "put", "patch", "delete"}


def generated() -> dict[str, Any]:
    GENERATOR_STATS.reset()
    # Through JSON, as a client sees it.
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    document: dict[str, Any] = json.loads(json.dumps(schema, default=str))
    return document


DOCUMENT = generated()
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]


def test_it_is_valid_and_generated_without_a_warning() -> None:
    with GENERATOR_STATS.silence():
        document = generated()
        assert not GENERATOR_STATS, "run manage.py spectacular --validate --fail-on-warn"
    validate_schema(document)  # type: ignore[no-untyped-call]


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names) > 25
    assert "post_arb_execute" in names


@pytest.mark.parametrize(("name", "operation"), OPERATIONS, ids=[name for name, _ in OPERATIONS])
def test_it_says_what_is_accepted_and_how_it_refuses(name: str, operation: dict[str, Any]) -> None:
    if (body := operation.get("requestBody")) is not None:
        shape = body["content"]["application/json"]["schema"]
        assert shape.get("properties") is not None or shape.get("anyOf"), "any object is no description"
    problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_actions_are_described_by_their_own_inputs() -> None:
    def body(path: str) -> Any:
        return DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    execute = body("/api/arb/execute")
    assert {"plan_id", "digest", "notional", "reason"} <= set(execute["properties"])
    assert execute["additionalProperties"] is False
    assert body("/api/ui/resume_request")["required"] == ["reason"]
    titles = {shape["title"] for shape in body("/api/v1/actions/{name}")["anyOf"]}
    assert titles == {action.name for action in registry.all_actions()}


# --- schemathesis ---------------------------------------------------------------

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CASES: list[Any] = [result.ok() for result in SCHEMA.get_all_operations()]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with paper_venues(tmp_path_factory.mktemp("venues")):
        yield


def modes(operation: Any) -> list[Any]:
    """What breaks the schema can only be made where it says something."""
    speaks = len(operation.body) or len(operation.query) or len(operation.path_parameters)
    return list(GenerationMode) if speaks else [GenerationMode.POSITIVE]


ASKED = [pytest.param(case, mode, id=f"{case.label} {mode.value}") for case in CASES for mode in modes(case)]


@pytest.mark.parametrize(("operation", "mode"), ASKED)
def test_nothing_ends_in_a_500(venues: None, db: None, operation: Any, mode: GenerationMode) -> None:
    alice = fresh_desk()["alice"]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=10,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url="")
        raw = sent["data"] if "data" in sent else json.dumps(sent["json"]).encode() if "json" in sent else b""
        query = QueryDict(mutable=True)
        for name, value in (sent.get("params") or {}).items():
            query.setlist(name, value if isinstance(value, list) else [value])
        reply = alice.send(sent["method"], f"{sent['url']}?{query.urlencode()}", raw)
        if reply.status == 503 and {"ready", "ok"} & set(reply.body):
            return  # so /healthz and /live-readiness say "not yet": here are no other processes
        assert reply.status < 500, reply.body
        if reply.status >= 400:
            assert reply["code"]
            assert reply.headers["content-type"] == "application/problem+json"

    ask()
