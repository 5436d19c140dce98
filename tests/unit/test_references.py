"""File references: they are found in the data of every job type."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from consumer.admission.policy import AdmissionPolicy
from providers.http.policy import Policy
from schemas.envelope import Request
from schemas.errors import AddressForbidden
from schemas.parse import parse_request
from schemas.reel import Reel
from schemas.reference import MediaReference, references, split_s3


class Scene(BaseModel):
    picture: MediaReference | None = None
    text: str = ""


class Story(BaseModel):
    cover: MediaReference
    title: str = ""
    images: list[MediaReference] = []
    by_name: dict[str, MediaReference] = {}
    scenes: list[Scene] = []
    last: Scene | None = None
    pair: tuple[MediaReference, str] | None = None
    described: Annotated[MediaReference | None, Field(description="Annotated twice.")] = None


def test_a_reel_names_its_image_and_its_audio() -> None:
    data = Reel(image="s3://inbox/a.jpg", audio="https://a.example/b.mp3", lyrics="s3://no/file", alignment_mode="even")
    assert references(data) == [("image", "s3://inbox/a.jpg"), ("audio", "https://a.example/b.mp3")]


def test_files_are_found_in_lists_dictionaries_and_models_of_models() -> None:
    story = Story(
        cover="s3://inbox/0",
        title="s3://inbox/no",
        images=["s3://inbox/1", "s3://inbox/2"],
        by_name={"x": "s3://inbox/3"},
        scenes=[Scene(text="s3://inbox/no"), Scene(picture="s3://inbox/4")],
        last=Scene(picture="s3://inbox/5"),
        pair=("s3://inbox/6", "s3://inbox/7"),
        described="s3://inbox/8",
    )
    assert references(story) == [
        ("cover", "s3://inbox/0"),
        ("images.0", "s3://inbox/1"),
        ("images.1", "s3://inbox/2"),
        ("by_name.x", "s3://inbox/3"),
        ("scenes.1.picture", "s3://inbox/4"),
        ("last.picture", "s3://inbox/5"),
        ("pair.0", "s3://inbox/6"),
        ("pair.1", "s3://inbox/7"),  # has the annotation of a reference, so it counts as one
        ("described", "s3://inbox/8"),
    ]


def test_no_file_is_found_if_none_is_named() -> None:
    assert references(Scene(text="s3://inbox/no")) == []


@pytest.mark.parametrize(
    "uri",
    [
        "s3://arn:aws:s3:::inbox/key",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/point/key",
        "s3://my-point-ab1cd2ef3gh4ij5kl6mn7op8qr9stuse1a-s3alias/key",
        "s3://my-lambda--ol-s3/key",
        "s3://mfzwi23gnjvgw.mrap/key",
        "s3://inbox@evil/key",
        "s3://inbox:80/key",
        "s3://inb\u043ex/key",
        "s3://inbox",
        "s3://inbox/",
        "s3:///key",
        "S3://inbox/key",
        "s3://inbox/" + "k" * 1025,
        "s3://inbox/" + "é" * 513,
    ],
)
def test_a_uri_that_is_not_an_object_of_a_bucket_is_refused_by_its_form(uri: str) -> None:
    with pytest.raises(ValueError, match=r"must be|bucket|longer"):
        split_s3(uri)


@pytest.mark.parametrize(
    ("job_type", "data", "field", "says"),
    [
        pytest.param(
            "image-to-video", {"image_id": "http://example.com/a.jpg"}, "data.image", "plain http", id="gap_M8"
        ),
        pytest.param(
            "image-to-video",
            {"image_id": "HTTP:&#x2F;&#x2F;example.com&#x2F;a.jpg"},
            "data.image",
            "plain http",
            id="gap_M8-escaped",
        ),
        pytest.param(
            "reel",
            {"image": "s3://inbox/a.jpg", "audio": "http://a.example:8080/s.mp3", "lyrics": "la"},
            "data.audio",
            "plain http",
            id="gap_M8-audio",
        ),
        pytest.param(
            "image-to-prompt",
            {"image": "https://169.254.169.254/"},
            "data.image",
            "not public",
            id="gap_M8-metadata-address",
        ),
        pytest.param(
            "image-to-prompt",
            {"image": "https://db.internal/a.png"},
            "data.image",
            "internal host",
            id="gap_M8-internal-name",
        ),
        pytest.param(
            "image-to-prompt", {"image": "https://a.example:22/a.png"}, "data.image", "port 22", id="gap_M8-port"
        ),
    ],
)
def test_an_input_that_may_not_be_called_is_refused_on_admission(
    job_type: str, data: dict[str, Any], field: str, says: str
) -> None:
    rules = AdmissionPolicy({job_type: "io"}, frozenset(), Policy(), 100_000)
    request = parse_request(json.dumps({"id": "a", "type": job_type, "data": data}).encode())
    assert isinstance(request, Request)
    with pytest.raises(AddressForbidden, match=says) as refused:
        rules.check(request)
    assert (refused.value.field, refused.value.message.startswith(f"{field}: ")) == (field, True)
    assert "Use a public HTTPS address" in refused.value.message


def test_an_address_that_the_operator_allows_is_admitted_gap_M8() -> None:
    rules = AdmissionPolicy({"image-to-prompt": "io"}, frozenset(), Policy(frozenset({"images.example:80"})), 100_000)
    for image in ("http://images.example/a.png", "https://cdn.example/a.png", "s3://inbox/a.png", "file:///srv/a.png"):
        request = parse_request(json.dumps({"id": "a", "type": "image-to-prompt", "data": {"image": image}}).encode())
        assert isinstance(request, Request)
        assert rules.check(request).role == "io"
