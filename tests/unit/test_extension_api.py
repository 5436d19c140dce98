"""The public interface of extensions is what docs/extension-api.md lists, with these parameters and methods."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extension-api.md"

#: Parameters by name; ``=`` after those that have a default. New optional ones may be added at the end.
PARAMETERS = {
    "ModelCall": "models parameters inputs= output= as_type= seconds=",
    "ModelResult": "model provider artifact value details",
    "OutputSpec": "name kinds",
    "Pipeline": "run plan role check=",
    "LocalFile": "name content_type facts= path details= inline=",
    "StoredArtifact": "name content_type facts= uri sha256 bytes details= inline=",
    "InputFile": "name uri path kind bytes sha256 seconds=",
    "Plan": "frames= duration_seconds= fps= width= height= estimated_seconds cost= details=",
    "TelecineError": "message= field= step=",
    "ProviderTaskFailed": "message= field= step= retry_after_seconds=",
    "Call": "key job_id step model parameters inputs= submitted_at= now=",
    "MediaInput": "url content_type bytes sha256 load",
    "TaskRef": "id extra=",
    "Pending": "progress= status= retry_after_seconds=",
    "Ready": "url= content= value= price= details=",
    "Failed": "error charged=",
    "add_provider": "name opener models=",
    "Exchange": "base_url policy headers provider key_setting timeout_seconds= limit_bytes= tls=",
    "Policy": "allowed_hosts= allowed_ports= allow_http=",
}
METHODS = {
    "Context": {
        "annotate": "details",
        "input": "name uri kinds limit_bytes",
        "step": "name make",
        "call": "name call",
    },
    "RemoteProvider": {
        "submit": "call",
        "poll": "call task",
        "cancel": "call task",
        "find": "call",
        "aclose": "",
    },
}


def listed() -> dict[str, Any]:
    """Return the objects that the page lists, by name."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            module, names, _ = line.split(" | ")
            for name in re.findall(r"`(\w+)`", names):
                found[name] = getattr(importlib.import_module(module.strip("| `")), name)
    return found


def parameters(callable_: Any) -> str:
    """Return the parameters of a function, class or method as PARAMETERS writes them."""
    words = [
        f"{name}=" if parameter.default is not parameter.empty else name
        for name, parameter in inspect.signature(callable_).parameters.items()
        if name != "self"
    ]
    return " ".join(words)


def test_every_listed_name_exists() -> None:
    assert len(listed()) >= 40
    assert set(PARAMETERS) | set(METHODS) <= set(listed())


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_listed_class_or_function_takes_what_it_promises(name: str) -> None:
    assert parameters(listed()[name]).startswith(PARAMETERS[name])


@pytest.mark.parametrize("name", METHODS)
def test_a_listed_protocol_has_the_methods_that_it_promises(name: str) -> None:
    protocol = listed()[name]
    assert {method: parameters(getattr(protocol, method)) for method in METHODS[name]} == METHODS[name]
