"""An extension that makes this code a newer version of itself: it knows one more migration of the ledger."""

from __future__ import annotations

from pathlib import Path

from consumer.ledger import schema

schema.VERSIONS = (*schema.VERSIONS, Path(__file__).with_name("newer_versions"))
schema.HEAD = "9001"
