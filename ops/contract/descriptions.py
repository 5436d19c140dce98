"""The longer descriptions of the AsyncAPI document."""

from __future__ import annotations

INFO = """\
Telecine turns JSON requests on a queue into finished media in object storage and a signed callback.

A request is one JSON object in UTF-8, at most 256 KiB, sent to RabbitMQ or SQS without an envelope and without a
client library. The same object with `specversion` and `source` is a CloudEvent 1.0 in structured mode;
binary mode is also supported. Operations are named from Telecine's side: it receives requests and sends callbacks.
"""

AMQP_CHANNEL = """\
The request queue: a quorum queue that Telecine declares when it first starts. Publish to the default
exchange with the queue's name as routing key, persistent and mandatory, and wait for the publisher confirm.
The broker dead-letters a refused message to the queue of the same name with the suffix `.dead`.
`TELECINE_AMQP_QUEUES` names the queues; `telecine.requests` is the default.
"""

SQS_CHANNEL = """\
The request queue on SQS, standard or FIFO: the body is the plain JSON, sent with any SDK or the AWS CLI.
You create the queue and its dead-letter queue; a refused message goes to the latter.
`TELECINE_SQS_QUEUES` names the queues.
"""

CALLBACK_CHANNEL = """\
The webhook that a receiver implements at the `callback.url` of the request. Telecine sends one POST with a
JSON body. A 2xx response within 20 seconds acknowledges it, 410 stops it, anything else is retried for three days.
Redirects are not followed. It may arrive more than once, with the same `webhook-id`: store the id and ignore copies.
"""

GAME_CHANNEL = """\
For requests whose `callback.format` is `game`: one POST below `callback.url`, or below the URL that the operator
configured. The key in `x-api-key` is sent only to the operator's host.
"""

S3_EVENT = """\
A notification about an uploaded object. Trigger rules in the settings turn it into a request. It is recognised
by its form: S3 to SQS, the same wrapped by SNS, EventBridge, MinIO and Ceph to AMQP. Other fields are
ignored; `s3:TestEvent` and events that do not report a new object are acknowledged and dropped.
"""

STRUCTURED = """\
CloudEvents 1.0, structured mode: the request itself carries `specversion` and `source`. `subject` and `time` are
stored in the job's timeline. None of the four is part of the request's fingerprint.
"""

BINARY = """\
CloudEvents 1.0, binary mode: the payload is only `data`; the attributes are application properties (AMQP) or
message attributes (SQS). The prefixes `cloudEvents:`, `cloudEvents_`, `ce-` and `ce_` are equivalent. The fields of
the envelope are extension attributes in lower case: `callback`, `deadline`, `metadata`, `notbefore`, `output`,
`planonly`, `priority`, `tenant`, `traceparent`, `tracestate`. `callback` is a URL or an object as JSON, `metadata` an
object as JSON.
"""

SIGNATURE = """\
Standard Webhooks 1.0: `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`, keyed with
the bytes that the secret `whsec_…` encodes. While a secret is being replaced there are two signatures, separated by a
space. Verify the raw body, in constant time, and refuse a timestamp that is more than five minutes off.
"""
