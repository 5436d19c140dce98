"""A client of Telecine: typed requests, a door to send them by, waiting for the result, and verified callbacks."""

from telecine_client.callbacks import verify
from telecine_client.data import (
    AudioToCaptions,
    AudioToVideo,
    CallbackSpec,
    ImageToPrompt,
    ImageToVideo,
    Reel,
    StoryToVideo,
    TextToImage,
    TextToVideo,
)
from telecine_client.door import Door
from telecine_client.edge import Edge, Job
from telecine_client.errors import (
    CallbackError,
    JobError,
    RequestError,
    SendError,
    TelecineError,
    WaitTimeoutError,
)
from telecine_client.inbox import Inbox
from telecine_client.rabbitmq import RabbitMQ
from telecine_client.requests import (
    AudioToCaptionsRequest,
    AudioToVideoRequest,
    ImageToPromptRequest,
    ImageToVideoRequest,
    ReelRequest,
    Request,
    StoryToVideoRequest,
    TextToImageRequest,
    TextToVideoRequest,
)
from telecine_client.results import Callback, JobCompleted, JobFailed, JobProgress, JobStarted, Manifest, Output
from telecine_client.s3 import S3, Results
from telecine_client.sqs import SQS

__all__ = [
    "S3",
    "SQS",
    "AudioToCaptions",
    "AudioToCaptionsRequest",
    "AudioToVideo",
    "AudioToVideoRequest",
    "Callback",
    "CallbackError",
    "CallbackSpec",
    "Door",
    "Edge",
    "ImageToPrompt",
    "ImageToPromptRequest",
    "ImageToVideo",
    "ImageToVideoRequest",
    "Inbox",
    "Job",
    "JobCompleted",
    "JobError",
    "JobFailed",
    "JobProgress",
    "JobStarted",
    "Manifest",
    "Output",
    "RabbitMQ",
    "Reel",
    "ReelRequest",
    "Request",
    "RequestError",
    "Results",
    "SendError",
    "StoryToVideo",
    "StoryToVideoRequest",
    "TelecineError",
    "TextToImage",
    "TextToImageRequest",
    "TextToVideo",
    "TextToVideoRequest",
    "WaitTimeoutError",
    "verify",
]
