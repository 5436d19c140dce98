"""Generate the clients' types and schemas from the published contract.

    python ops/clients/generate.py           write them
    python ops/clients/generate.py --check   change nothing; exit with status 1 if a file is not current

It reads the JSON Schemas in ``docs/contract`` and nothing else. Every definition becomes a ``TypedDict`` in Python and
an ``interface`` in TypeScript, with the names of the contract.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = Path(__file__).resolve().parent
CONTRACT = CLIENTS.parent.parent / "docs" / "contract"
_PYTHON = CLIENTS / "python" / "telecine_client"
_HEAD = "Written by ops/clients/generate.py from docs/contract. Change the models, then run it."
#: What checks nothing: left out of the schemas that the client validates with.
_TEXTS = ("description", "title", "examples", "default", "$id", "$schema")
_WIDTH = 116

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """An object of the contract: its fields by name, and which of them must be present."""

    name: str
    text: str
    fields: Mapping[str, Schema]
    required: frozenset[str]
    base: str = ""


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each generated file with its current text."""
    schemas = {path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in _schema_files()}
    requests = {
        name: schema for name, schema in schemas.items() if schema["$id"].startswith("urn:telecine:contract:request:")
    }
    results = _records_of(
        {"GameCallback": schemas["callback.game"], "Manifest": schemas["manifest"], "": schemas["callback"]}
    )
    wanted = _requests(requests, schemas["job.cancel"])
    unions = {"Request": [name for name in wanted if name.endswith("Request")]}
    events = {"Callback": [_ref(item) for item in schemas["callback"]["oneOf"]]}
    own = [name for name in wanted if name.endswith(("Request", "Envelope", "JobCancel"))]
    yield _PYTHON / "data.py", _python("The data of each job type.", _without(wanted, own), {})
    envelopes = {name: wanted[name] for name in own}
    yield _PYTHON / "requests.py", _python("Requests and control messages.", envelopes, unions)
    yield _PYTHON / "results.py", _python("Callbacks and manifests.", results, events)
    yield CLIENTS / "typescript" / "index.d.ts", _typescript({**wanted, **results}, {**unions, **events})
    lines = [
        f"{json.dumps(name)}: {json.dumps(_bare(schema))}"
        for name, schema in [*requests.items(), ("job.cancel", schemas["job.cancel"])]
    ]
    yield _PYTHON / "schemas.json", "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` compare them, and return the exit status."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if "--check" in arguments:
            print(
                f"{path.relative_to(CLIENTS.parent.parent)} is not current: run python ops/clients/generate.py",
                file=sys.stderr,
            )
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _without(records: Mapping[str, Record], names: list[str]) -> dict[str, Record]:
    return {name: record for name, record in records.items() if name not in names}


def _schema_files() -> list[Path]:
    return sorted(CONTRACT.glob("*.schema.json"))


def _requests(schemas: Mapping[str, Schema], cancel: Schema) -> dict[str, Record]:
    """Return the records of all requests. The fields of the envelope, which they share, are a record of their own."""
    made: dict[str, Record] = {}
    shared: dict[str, Schema] | None = None
    for schema in schemas.values():
        _add_definitions(made, schema)
        fields = {name: item for name, item in schema["properties"].items() if name not in ("type", "data")}
        if shared is None:
            shared = fields
            made["Envelope"] = Record(
                "Envelope", "What requests of all types have in common.", fields, frozenset({"id"})
            )
        assert shared == fields, "the types differ in more than type and data"
        own = {name: schema["properties"][name] for name in ("type", "data")}
        name = f"{_ref(own['data'])}Request"
        made[name] = Record(name, schema["description"], own, frozenset(own), "Envelope")
    _add_definitions(made, cancel)
    made["JobCancel"] = _record("JobCancel", cancel)
    return made


def _records_of(schemas: Mapping[str, Schema]) -> dict[str, Record]:
    made: dict[str, Record] = {}
    for name, schema in schemas.items():
        _add_definitions(made, schema)
        if name:
            _add(made, name, schema)
    return made


def _add_definitions(made: dict[str, Record], schema: Schema) -> None:
    for name, item in schema.get("$defs", {}).items():
        _add(made, name, item)


def _add(made: dict[str, Record], name: str, schema: Schema) -> None:
    """Add the record, after the objects inside it that have no name of their own.

    Raises:
        ValueError: Another record has this name.
    """
    fields = {}
    for key, item in schema["properties"].items():
        for inner in (item, *item.get("anyOf", ())):
            if "properties" in inner:
                _add(made, name + key.title(), inner)
        fields[key] = _named(item, name + key.title())
    record = _record(name, {**schema, "properties": fields})
    if made.setdefault(name, record) != record:
        raise ValueError(f"two different definitions have the name {name}")


def _named(schema: Schema, name: str) -> Schema:
    if "properties" in schema:
        return {"$ref": f"#/$defs/{name}"}
    return {**schema, "anyOf": [_named(item, name) for item in schema["anyOf"]]} if "anyOf" in schema else schema


def _record(name: str, schema: Schema) -> Record:
    return Record(name, schema.get("description", ""), schema["properties"], frozenset(schema.get("required", ())))


def _ref(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _bare(value: Any) -> Any:
    """Return the schema without the texts. Names of properties are kept, also those that are called like a text."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "pattern" in value:  # in Python, `$` matches before a final line break too
        value = {**value, "pattern": value["pattern"].replace("$", r"\Z")}
    bare = {
        key: {name: _bare(inner) for name, inner in item.items()} if key in ("properties", "$defs") else _bare(item)
        for key, item in value.items()
        if key not in _TEXTS
    }
    return _nullable(bare)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Return "a type or null" as one schema, so that a message about a wrong value names the type."""
    alternatives: list[dict[str, Any]] = schema.get("anyOf") or [{}]
    first, *others = alternatives
    if others != [{"type": "null"}] or "type" not in first or "const" in first:
        return schema
    enum = {"enum": [*first["enum"], None]} if "enum" in first else {}
    return (
        {key: item for key, item in schema.items() if key != "anyOf"} | first | {"type": [first["type"], "null"]} | enum
    )


@dataclass(frozen=True)
class Language:
    """How a language writes types."""

    scalars: Mapping[str, str]
    array: str
    mapping: str
    anything: str
    literal: str
    literals: str

    def type_of(self, schema: Schema) -> str:
        """Return the type of a schema."""
        if "$ref" in schema:
            return _ref(schema)
        if "anyOf" in schema:
            found = list(dict.fromkeys(part for item in schema["anyOf"] for part in self.type_of(item).split(" | ")))
            return " | ".join(name for name in found if not (name == "int" and "float" in found))
        if choices := schema.get("enum", [schema["const"]] if "const" in schema else None):
            return self.literal.format(self.literals.join(json.dumps(choice) for choice in choices))
        if schema["type"] == "array":
            return self.array.format(self.type_of(schema["items"]))
        if schema["type"] == "object":
            patterns = list(schema.get("patternProperties", {}).values())
            return self.mapping.format(self.type_of(patterns[0]) if patterns else self.anything)
        return self.scalars[schema["type"]]


_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
PYTHON = Language(_SCALARS, "list[{}]", "dict[str, {}]", "Any", "Literal[{}]", ", ")
_TS_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
TYPESCRIPT = Language(_TS_SCALARS, "Array<{}>", "Record<string, {}>", "unknown", "{}", " | ")


def _python(title: str, records: Mapping[str, Record], unions: Mapping[str, list[str]]) -> str:
    parts = [_python_class(record) for record in records.values()]
    for name, members in unions.items():
        line = f"{name}: TypeAlias = {' | '.join(members)}"
        parts.append(f"{line}\n" if len(line) <= 120 else f"{name}: TypeAlias = (\n    {_lines(members)}\n)\n")
    body = "\n\n".join(parts)
    typing = [name for name in ("Any", "Literal", "NotRequired", "TypeAlias", "TypedDict") if f"{name}" in body]
    head = f'"""{title}\n\n{_HEAD}\n"""\n\nfrom typing import {", ".join(typing)}\n'
    used = {_ref(part) for record in records.values() for item in record.fields.values() for part in _references(item)}
    if missing := sorted(used - records.keys()):
        head += f"\nfrom telecine_client.data import (\n    {f',{chr(10)}    '.join(missing)},\n)\n"
    return f"{head}\n\n{body}"


def _references(schema: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield schema
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        yield from _references(inner)


def _python_class(record: Record) -> str:
    text = _quoted(record.text)
    lines = [f"class {record.name}({record.base or 'TypedDict'}):", *text, *([""] if text else [])]
    for name, schema in record.fields.items():
        kind = PYTHON.type_of(schema)
        lines.append(f"    {name}: {kind if name in record.required else f'NotRequired[{kind}]'}")
        lines += _quoted(_notes(schema))
    return "\n".join(lines) + "\n"


def _lines(members: list[str]) -> str:
    return "\n    | ".join(members)


def _quoted(text: str) -> list[str]:
    if not text:
        return []
    lines = textwrap.wrap(text.replace("\\", "\\\\"), _WIDTH - 6)
    if len(lines) == 1:
        return [f'    """{lines[0]}"""']
    return [f'    """{lines[0]}', *(f"    {line}" for line in lines[1:]), '    """']


def _typescript(records: Mapping[str, Record], unions: Mapping[str, list[str]]) -> str:
    parts = [f"// {_HEAD}\n"]
    for record in records.values():
        base = f" extends {record.base}" if record.base else ""
        lines = [*_comment(record.text, ""), f"export interface {record.name}{base} {{"]
        for name, schema in record.fields.items():
            lines += _comment(_notes(schema), "  ")
            lines.append(f"  {name}{'' if name in record.required else '?'}: {TYPESCRIPT.type_of(schema)};")
        parts.append("\n".join([*lines, "}"]) + "\n")
    parts += [f"export type {name} =\n  | " + "\n  | ".join(members) + ";\n" for name, members in unions.items()]
    return "\n".join(parts)


def _comment(text: str, indent: str) -> list[str]:
    if not text:
        return []
    lines = textwrap.wrap(text.replace("*/", "* /"), _WIDTH - 8)
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}" for line in lines), f"{indent} */"]


def _notes(schema: Schema) -> str:
    """Return the description of a field with its limits and its default."""
    text = re.sub(r"``", "`", schema.get("description", ""))
    facts = [_limits(item) for item in (schema, *schema.get("anyOf", ())) if _limits(item)][:1]
    if schema.get("default") not in (None, "", [], {}) and "Default" not in text:
        facts.append(f"default {json.dumps(schema['default'])}")
    noted = "; ".join(facts)
    return f"{text} {noted[:1].upper()}{noted[1:]}.".strip() if noted else text


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f"more than {schema['exclusiveMinimum']}" + (f", at most {high}" if high is not None else "")
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at least {low}" if low is not None else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
