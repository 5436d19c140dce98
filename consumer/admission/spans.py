"""The spans of admission: one for each request of a batch, from its parsing to the commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from consumer import tracing
from consumer.admission.message import IncomingMessage
from consumer.admission.parsing import ParsedMessage
from consumer.ledger.admission import Submission, with_trace_context


@contextlib.contextmanager
def admission_spans(messages: Sequence[IncomingMessage], parsed: list[ParsedMessage]) -> Iterator[list[ParsedMessage]]:
    """Make the spans, and yield the requests.

    A request without a trace context gets that of its span, so that the later spans of its job are connected.
    """
    if not tracing.enabled():
        yield parsed
        return
    with contextlib.ExitStack() as spans:
        yield [_entered(spans, message, item) for message, item in zip(messages, parsed, strict=True)]


def _entered(spans: contextlib.ExitStack, message: IncomingMessage, item: ParsedMessage) -> ParsedMessage:
    if not isinstance(item, Submission):
        return item
    attributes = {"messaging.destination.name": message.source, "telecine.door": message.door}
    attributes |= {"telecine.job.id": item.request.id, "telecine.job.type": item.request.type}
    given = item.request.trace_context()
    spans.enter_context(tracing.continued(f"admit {item.request.type}", given, attributes))
    return item if given else with_trace_context(item, tracing.carrier())
