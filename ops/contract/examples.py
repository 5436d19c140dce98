"""Example messages of the AsyncAPI document. Tests validate each one against its schema."""

from __future__ import annotations

from typing import Any

_JOB = {"id": "order-1042", "type": "reel"}
_TIMES = {"created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:01Z"}
_BACK = {"metadata": {"customer": "c-17"}}

CALLBACKS: dict[str, dict[str, Any]] = {
    "job.started": {
        "type": "job.started",
        "timestamp": "2026-01-01T00:00:01Z",
        "data": {**_JOB, "status": "running", "progress_percentage": 0, **_TIMES, **_BACK},
    },
    "job.progress": {
        "type": "job.progress",
        "timestamp": "2026-01-01T00:00:02Z",
        "data": {**_JOB, "status": "running", "progress_percentage": 40, **_TIMES, **_BACK},
    },
    "job.completed": {
        "type": "job.completed",
        "timestamp": "2026-01-01T00:00:05Z",
        "data": {
            **_JOB,
            "status": "completed",
            "progress_percentage": 100,
            "outputs": [
                {
                    "name": "video.mp4",
                    "uri": "s3://results/orders/1042/order-1042/video.mp4",
                    "url": "https://results.s3.amazonaws.com/orders/1042/order-1042/video.mp4?X-Amz-Signature=…",
                    "sha256": "fd146d7776f137eda04ddedca9498296b6674d060ac25e340e81758670737ea7",
                    "bytes": 5242880,
                    "content_type": "video/mp4",
                    "width": 1080,
                    "height": 1920,
                    "duration_seconds": 182.4,
                    "fps": 30,
                    "frames": 5472,
                }
            ],
            "provider": "local",
            "model": "reel",
            "cost": {"amount": "0.00", "currency": "USD"},
            **_TIMES,
            "processing_time_seconds": 3.1,
            **_BACK,
        },
    },
    "job.failed": {
        "type": "job.failed",
        "timestamp": "2026-01-01T00:00:05Z",
        "data": {
            **_JOB,
            "status": "failed",
            "progress_percentage": 0,
            "error": {
                "code": "invalid_image",
                "message": "Image must be JPG or PNG",
                "retryable": False,
                "field": "data.image",
            },
            **_TIMES,
            **_BACK,
        },
    },
}

S3_EVENT: dict[str, Any] = {
    "Records": [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-01-01T00:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": "inbox", "arn": "arn:aws:s3:::inbox"},
                "object": {
                    "key": "animate/my+cover.jpg",
                    "size": 1024,
                    "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                    "sequencer": "0055AED6DCD90281E5",
                },
            },
        }
    ]
}
