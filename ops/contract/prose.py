"""The longer texts of the AsyncAPI document."""

from __future__ import annotations

INFO = """\
Telecine turns JSON requests on a queue into finished media in object storage and a signed callback.

A request is one JSON object in UTF-8, at most 256 KiB, put on RabbitMQ or SQS as it is: no envelope, no
client library. The same object with `specversion` and `source` is a CloudEvent 1.0 in structured mode;
binary mode is understood too. Operations are named from Telecine's side: it receives requests and sends callbacks.
"""

AMQP_CHANNEL = """\
The request queue: a quorum queue that Telecine declares when it first starts. Publish to the default
exchange with the queue's name as routing key, persistent and mandatory, and wait for the confirm.
A refused message is dead-lettered by the broker to the queue of the same name with `.dead` behind it.
`TELECINE_AMQP_QUEUES` names the queues; `telecine.requests` is the default.
"""

SQS_CHANNEL = """\
The request queue on SQS, standard or FIFO: the body is the plain JSON, put there by any SDK or the AWS CLI.
The queue and its dead-letter queue are made by their owner; a refused message goes to the latter.
`TELECINE_SQS_QUEUES` names the queues.
"""

CALLBACK_CHANNEL = """\
The webhook that a receiver implements at the `callback.url` of the request. Telecine sends one POST with a
JSON body. A 2xx answer within 20 seconds delivers it, 410 ends it, anything else is tried again for three days.
Redirects are not followed. It may come more than once: `webhook-id` stays the same, so note it and ignore the copy.
"""

GAME_CHANNEL = """\
For requests whose `callback.format` is `game`: one POST below `callback.url`, or below the address that the operator
has set. The key in `x-api-key` goes to the operator's host and nowhere else.
"""

S3_EVENT = """\
A notification about an uploaded object. Trigger rules in the settings turn it into a request. It is recognised
by its shape: S3 to SQS, the same wrapped by SNS, EventBridge, MinIO and Ceph to AMQP. Fields that are not
needed are ignored; `s3:TestEvent` and events that are no creation are acknowledged and dropped.
"""

STRUCTURED = """\
CloudEvents 1.0, structured mode: the request itself carries `specversion` and `source`. `subject` and `time` are
kept in the job's timeline. None of the four belongs to the identity of the request.
"""

BINARY = """\
CloudEvents 1.0, binary mode: the payload is `data` alone, the attributes are application properties (AMQP) or
message attributes (SQS). The prefixes `cloudEvents:`, `cloudEvents_`, `ce-` and `ce_` mean the same. The fields of
the envelope are extension attributes in lower case: `callback`, `deadline`, `metadata`, `output`, `planonly`,
`priority`, `tenant`, `traceparent`. `callback` is a URL or an object as JSON, `metadata` an object as JSON.
"""

SIGNATURE = """\
Standard Webhooks 1.0: `v1,` and the base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}` under the
bytes that the secret `whsec_…` encodes. While a secret is replaced there are two, a space between them. Verify over
the raw body, in constant time, and refuse a timestamp more than five minutes away.
"""
