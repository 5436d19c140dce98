"""The AsyncAPI 3.0 document: the queues that Telecine reads and the callbacks that it sends."""

from __future__ import annotations

from typing import Any

from ops.contract import descriptions
from ops.contract.channels import channels, operations
from ops.contract.messages import messages, schemas, traits
from ops.contract.servers import security_schemes, servers

VERSION = "3.0.0"
#: Version of the contract, not of the program. The major version changes when a formerly valid message becomes invalid.
CONTRACT_VERSION = "1.0.0"


def document() -> dict[str, Any]:
    """Return the whole document as plain data. The same models always give the same document."""
    return {
        "asyncapi": VERSION,
        "id": "urn:telecine:contract",
        "info": {
            "title": "Telecine",
            "version": CONTRACT_VERSION,
            "description": descriptions.INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": "requests"}, {"name": "events"}, {"name": "callbacks"}],
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels(),
        "operations": operations(),
        "components": {
            "messages": messages(),
            "messageTraits": traits(),
            "schemas": schemas(),
            "securitySchemes": security_schemes(),
        },
    }
