"""``telecine pause`` and ``telecine resume``: what they name, and where a pause is shown."""

from __future__ import annotations

import pytest

from tests.cli_operator import Operator, an_operator

_operator = pytest.fixture(an_operator, name="operator")


def test_a_paused_type_is_shown_by_status_and_by_its_jobs_until_it_is_resumed(operator: Operator) -> None:
    operator.receive("j")
    assert operator.run("pause", "--type", "reel").out == "Paused the job type reel.\n"
    assert operator.run("pause", "--type", "reel").out == "reel was paused already.\n"
    assert "`telecine resume --type reel`" in operator.run("explain", "j").out
    overview = operator.run("status").out
    assert "paused" in overview
    assert "type reel" in overview
    assert "`telecine resume --type reel`" in " ".join(overview.split())
    assert list(operator.run("status", "--json").json["paused"]) == ["type reel"]
    assert operator.run("resume", "--type", "reel", "--json").json["message"] == "Resumed the job type reel."
    assert operator.run("resume", "--type", "reel").out == "reel was not paused.\n"
    assert "paused" not in operator.run("status").out


def test_a_paused_provider_is_shown_by_providers(operator: Operator) -> None:
    operator.run("pause", "--provider", "pika")
    (pika,) = [view for view in operator.run("providers", "--json").json if view["provider"] == "pika"]
    assert pika["paused_by"]
    assert "paused by" in operator.run("providers").out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--type"),
        (("--type", "reel", "--provider", "pika"), "--type"),
        (("--type", "real"), "reel"),
        (("--provider", "pica"), "pika"),
    ],
)
def test_what_cannot_be_paused_names_what_can_be(operator: Operator, arguments: tuple[str, ...], named: str) -> None:
    for command in ("pause", "resume"):
        refused = operator.run(command, *arguments)
        assert refused.status == 2
        assert named in refused.err
