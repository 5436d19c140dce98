"""The doubles themselves: their control endpoint, the films they serve, and their faults."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from providers.http.client import GuardedClient
from providers.http.policy import Policy
from schemas.errors import InputForbidden, InputNotFound, InputUnavailable
from tests.doubles.double import URL_SECRET
from tests.doubles.misbehaviour import Fault, Plan
from tests.doubles.pika import Pika

BODY = {
    "promptText": "a kite",
    "image": "https://h.example/in.png",
    "ref": "ref-1",
    "options": {"frameRate": 24, "parameters": {"motion": 2, "guidanceScale": 16}},
}


def http(url: str, value: Any = None, key: str = "double-key-7f2Qx91LmZ") -> Any:
    request = urllib.request.Request(
        url, None if value is None else json.dumps(value).encode(), {"authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def film_of(double: Pika, **plan: Any) -> str:
    double.plan(Plan(**plan))
    task = http(f"{double.url}/generate", BODY)["job"]["id"]
    return str(http(f"{double.url}/jobs/{task}")["videos"][0]["resultUrl"])


@contextlib.contextmanager
def other_process(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.doubles.pika", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        try:
            assert found is not None, line
            yield found[0]
        finally:
            process.terminate()


def test_a_double_in_another_process_is_controlled_by_http() -> None:
    with other_process("--key", "other-key-1", "--work-seconds", "0") as url:
        http(f"{url}/_control/plans", {"outcome": "fail", "message": "no", "ref": "ref-1"})
        http(f"{url}/_control/faults", {"verb": "submit", "act": "drop", "accept": True})
        with pytest.raises(OSError):
            http(f"{url}/generate", BODY, "other-key-1")
        state = http(f"{url}/_control/state")
        assert (state["charges"], state["requests"]) == ({"ref-1": 1}, {"submit": 1})
        answer = http(f"{url}/jobs/{state['tasks'][0]['id']}", key="other-key-1")
        assert answer["videos"][0]["error"] == "no"
        http(f"{url}/_control/reset", {})
        assert http(f"{url}/_control/state")["tasks"] == []


def test_the_result_is_a_real_film_behind_a_presigned_url(tmp_path: Path) -> None:
    with Pika() as double:
        url, policy = film_of(double), Policy(allowed_hosts=frozenset({double.result_host}))
        fetched = GuardedClient(policy).download(url, tmp_path / "film.mp4", 10_000_000)
        assert URL_SECRET in url
        with pytest.raises(InputNotFound):
            GuardedClient(policy).download(url.partition("?")[0], tmp_path / "x", 10_000_000)
    assert fetched.content_type == "video/mp4"
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 24


@pytest.mark.parametrize(
    ("result", "error"),
    [("gone", InputNotFound), ("missing", InputNotFound), ("cut", InputUnavailable), ("dead", InputUnavailable)],
)
def test_a_result_can_be_gone_missing_cut_or_dead(tmp_path: Path, result: str, error: type[Exception]) -> None:
    with Pika() as double:
        policy = Policy(allowed_hosts=frozenset({double.result_host, "127.0.0.1:9"}))
        with pytest.raises(error):
            GuardedClient(policy).download(film_of(double, result=result), tmp_path / "film.mp4", 10_000_000)


def test_a_result_can_be_something_other_than_a_film(tmp_path: Path) -> None:
    with Pika() as double:
        client = GuardedClient(Policy(allowed_hosts=frozenset({double.result_host})))
        for result, start in (("html", b"<!doctype html>"), ("text", b"this is no film"), ("empty", b"")):
            client.download(film_of(double, result=result), tmp_path / "it", 10_000_000)
            assert (tmp_path / "it").read_bytes()[: len(start) or None] == start


def test_a_fault_of_the_result_host_is_temporary(tmp_path: Path) -> None:
    with Pika() as double:
        client = GuardedClient(Policy(allowed_hosts=frozenset({double.result_host})))
        url = film_of(double)
        double.fault(Fault("result", status=403))
        with pytest.raises(InputForbidden):
            client.download(url, tmp_path / "it", 10_000_000)
        client.download(url, tmp_path / "it", 10_000_000)


def test_faults_and_plans_honour_their_reference_and_skip() -> None:
    with Pika() as double:
        double.fault(Fault(status=429, ref="other"))
        double.fault(Fault(status=500, skip=1, times=2))
        statuses = []
        for _ in range(4):
            try:
                http(f"{double.url}/generate", BODY)
                statuses.append(200)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)
                error.close()
        assert statuses == [200, 500, 500, 200]
        assert double.charges("ref-1") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {}}, "options.parameters is required"),
        ({"options": {"frameRate": 30, "parameters": {"motion": 2, "guidanceScale": 16}}}, "frameRate must be"),
        ({"options": {"frameRate": 24, "parameters": {"guidanceScale": 16}}}, "motion must be"),
        ({"model": "9"}, "model is unknown"),
        ({"image": "file:///etc/passwd"}, "image must be a URL"),
    ],
)
def test_pikas_double_refuses_what_pika_refuses(change: dict[str, Any], message: str) -> None:
    with Pika() as double:
        with pytest.raises(urllib.error.HTTPError) as caught:
            http(f"{double.url}/generate", BODY | change)
        assert message in caught.value.read().decode()
        caught.value.close()
        assert double.charges() == 0
