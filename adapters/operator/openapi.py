"""The OpenAPI 3.1 document, made from the table of routes and the types that calls really use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from adapters.operator.bodies import PATH_LENGTH_MAX
from adapters.operator.problems import PROBLEMS, Problem
from adapters.operator.route import Route
from adapters.providers.payload import ID_LENGTH_MAX

PREFIX: Final = "/api"
"""Where the operator API stands."""

_VARIABLE = re.compile(r"\{(\w+)\}")
_REFERENCE = "#/components/schemas/{name}"


def document(routes: Sequence[Route[Any]]) -> dict[str, Any]:
    """The whole document for these routes."""
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    for body in {route.takes for route in routes if route.takes_body}:
        components[body.__name__] |= body.SCHEMA
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operations = paths.setdefault(PREFIX + route.path, {})
        operations[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wallet-ledger operator API",
            "version": "1",
            "description": "Amounts are decimal strings in main units. Errors are RFC 9457"
            " problems; `code` is for programs.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def problem_codes(route: Route[Any]) -> list[str]:
    """Every code that the call can answer."""
    codes = {"malformed_request", "unavailable", "internal", *route.problems}
    if route.role is not None:
        codes |= {"unauthorized", "forbidden"}
    return sorted(codes)


def _types(routes: Iterable[Route[Any]]) -> list[Any]:
    types: dict[Any, None] = {Problem: None}
    for route in routes:
        if route.takes_body:
            types[route.takes] = None
        types.update(dict.fromkeys(answer for answer in route.answers.values() if answer))
    return list(types)


def _operation(route: Route[Any], schema_of: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": [] if route.role is None else [{"token": []}],
        "x-role": route.role,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _good(route, schema_of) | _bad(route, schema_of),
    }
    if route.takes_body:
        operation["requestBody"] = {
            "required": _is_required(route.takes),
            "content": {"application/json": {"schema": schema_of[route.takes]}},
        }
    if route.uploads:  # JSON Schema cannot tell what is in a file
        content: dict[str, Any] = {kind: {} for kind in route.uploads}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _is_required(body: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(body))


def _path_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _path_schema(name, route.names.get(name)),
        }
        for name in _VARIABLE.findall(route.path)
    ]


def _path_schema(name: str, names: Sequence[str] | None) -> dict[str, Any]:
    if names is not None:
        return {"type": "string", "enum": list(names)}
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": PATH_LENGTH_MAX.get(name, ID_LENGTH_MAX),
    }


def _query_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    if not route.takes_query:
        return []
    (_,), components = msgspec.json.schema_components([route.takes], ref_template=_REFERENCE)
    declared: dict[str, Any] = components[route.takes.__name__]
    properties: dict[str, Any] = declared["properties"]
    required = declared.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that may be left out: a query has no null."""
    kept = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    for each in schema.get("anyOf", ()):
        if each != {"type": "null"}:
            kept = each | kept
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    if "enum" in kept:
        kept["enum"] = [word for word in kept["enum"] if word is not None]
    return kept


def _good(route: Route[Any], schema_of: dict[Any, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, answer in sorted(route.answers.items()):
        done = "The answer" if route.method == "GET" else _DONE[status]
        response: dict[str, Any] = {"description": done}
        # JSON Schema cannot tell what is in a file.
        content: dict[str, Any] = {kind.partition(";")[0]: {} for kind in route.downloads}
        if answer is not None:
            content = {"application/json": {"schema": schema_of[answer]}} | content
        if content:
            response["content"] = content
        if route.downloads:
            response["headers"] = {"Content-Disposition": _header("Of a file: its name.")}
        responses[str(status)] = response
    return responses


def _bad(route: Route[Any], schema_of: dict[Any, Any]) -> dict[str, Any]:
    codes: dict[int, list[str]] = {}
    for code in problem_codes(route):
        codes.setdefault(PROBLEMS[code][0], []).append(code)
    content = {"application/problem+json": {"schema": schema_of[Problem]}}
    return {
        str(status): {"description": ", ".join(names), "content": content}
        | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
        for status, names in sorted(codes.items())
    }


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


_HEADERS = {
    401: {"WWW-Authenticate": _header("Which token is wanted.")},
    503: {"Retry-After": _header("Seconds.")},
}
_DONE = {
    200: "Done, or done before: the first answer again",
    201: "Done for the first time",
    202: "Begun",
    204: "Done",
}
