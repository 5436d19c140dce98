"""Generate the parts of the documentation that follow from the code.

    python docs/generate.py           write the reference pages, the drawings, the tables in other pages, and the alert
                                      rules for Kubernetes
    python docs/generate.py --check   change nothing; exit with status 1 if a page is not current

A table inside a page is between ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import annotated_types
from pydantic.fields import FieldInfo

from consumer.callbacks.schedule import DELAYS_SECONDS
from consumer.ledger.states import RETRYABLE, TRANSITIONS, State
from drawings import DRAWINGS
from extension_reference import extension_page
from ops.cli.commands import entries, load
from ops.formatting import duration
from ops.metric_families import SECTIONS
from schemas import errors
from schemas.errors import RequestError, TelecineError
from schemas.job_types import JOB_TYPES
from schemas.settings import PARTS, Settings

DOCS = Path(__file__).resolve().parent
_DEPLOY = DOCS.parent / "ops" / "deploy"

_SETTINGS_HEAD = """# Settings

<!-- Written by docs/generate.py from schemas/settings/. Change it there. -->

Every setting has a default. Without any settings, Telecine runs in
[embedded mode](quickstart.md#embedded-no-server). Environment variables take precedence over the settings file, and the
file over the defaults. The file is `telecine.toml` in the working directory, or the one that `TELECINE_SETTINGS_FILE`
names; its keys are the names below in lower case, without `TELECINE_`:

```toml
broker_url = "amqp://telecine:secret@rabbit:5672/media"
ledger_url = "postgresql+psycopg://telecine:secret@postgres/telecine"
concurrency = 4
callback_secrets = { default = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] }
```

A secret can be in a file of its own, as Docker and Kubernetes mount them: `TELECINE_LEDGER_URL_FILE`,
`TELECINE_CALLBACK_SECRETS_FILE`, `REPLICATE_API_TOKEN_FILE` and so on name the file with the value of the variable
without `_FILE`. It is read at the start.

An unknown name in the file is an error, and so is a `TELECINE_SETTINGS_FILE` that does not exist. An unknown
`TELECINE_…` variable is logged at the start as `setting_unknown`, and `telecine doctor` warns of it.

`telecine doctor` names the settings file in use. `telecine doctor --settings` prints the current values and where each
comes from, with secrets masked.

S3 credentials are not settings of Telecine: they come from the usual AWS sources (`AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_PROFILE`, or the role of the machine).
"""

_STATES_HEAD = """# States of a job

<!-- Written by docs/generate.py from consumer/ledger/states.py. Change it there. -->

All changes of state follow one table, [`TRANSITIONS`](../consumer/ledger/states.py). Each `UPDATE` of a state names the
allowed previous states, so a transition that is not shown here cannot be written. The states `completed`, `failed`,
`cancelled` and `expired` are final for workers. An operator's [retry](failures.md#retrying-jobs) leads from the last
three back to `received`.
"""

_STATES_TAIL = """
A refused request never becomes a job: it becomes a [dead letter](failures.md#dead-letters).

A callback has its own states: `pending` → `delivered`, or `retrying` until it is `delivered`, `disabled` (the receiver
answered 410, or its address is forbidden) or `exhausted` (every attempt failed). See [receiving.md](receiving.md).
"""

_DECISIONS_HEAD = """# Decisions

<!-- Written by docs/generate.py from the files in this folder. -->

Why Telecine is built as it is: what was to be decided, what else was possible, and what is bad about the choice.
"""

_MEANINGS = {
    State.RECEIVED: "It is in the ledger; no worker has claimed it yet.",
    State.RUNNING: "A worker holds its lease.",
    State.WAITING: "Parked, without a worker: it waits for a retry, or for a provider.",
    State.STORING: "Its files are stored; the manifest is being written.",
    State.COMPLETED: "Every file and the manifest are in storage.",
    State.FAILED: "It ended without results; `error` contains the reason.",
    State.CANCELLED: "It was cancelled.",
    State.EXPIRED: "Its deadline passed before it completed.",
}

_CLI_HEAD = """# The command `telecine`

<!-- Written by docs/generate.py from ops/cli/. Change it there. -->

Results go to standard output, everything else to standard error. With `--json`, the result is one JSON document, and an
error is `{"error": {"code", "message", …}}` on standard error. In a pipe, lines are not wrapped or truncated.

Every command uses the same [settings](settings.md) and the same ledger as the workers.

| Exit status | Meaning |
| --- | --- |
| 0 | done; for `submit --wait`: the job completed |
| 1 | an error with a code, printed as `error CODE  message`; for `submit --wait`: the job did not complete |
| 2 | invalid usage, or `submit --wait` reached its timeout |
"""

_RULES_HEAD = """# Written by docs/generate.py from ops/deploy/prometheus/rules.yml. Change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: telecine
spec:
"""

#: The result of a request with this error, if it does not follow from the error's class.
_RESULTS: dict[type[TelecineError], str] = {
    errors.LyricsTooLong: "refused or failed",
    errors.AddressForbidden: "refused or failed",
    errors.JobCancelled: "cancelled",
    errors.DeadlineExceeded: "expired",
    errors.ProviderOutcomeUnknown: "kept waiting, or failed",
    errors.RetriesExhausted: "failed",
}


#: Errors inside a worker, and of `telecine retry`.
_NOT_FOR_PRODUCERS = (
    errors.LeaseLost,
    errors.AlreadyCompleted,
    errors.JobNotEnded,
    errors.ResultsDeleted,
    errors.AlreadyPaid,
)


def settings_page() -> str:
    """Return ``settings.md``. Its sections are the comments between the fields of the classes."""
    parts = [_SETTINGS_HEAD]
    for title, names in _sections():
        rows = [(f"`{_variable(name)}`", *_setting_cells(name)) for name in names]
        parts.append(f"## {title}\n\n{_table(('Variable', 'Default', 'Limits', 'Meaning'), rows)}")
    return "\n".join(parts)


def states_page() -> str:
    """Return ``states.md``."""
    diagram = "![States of a job and the ways between them](images/states.svg)\n"
    rows = [(f"`{state}`", _MEANINGS[state], _next_states(state)) for state in State]
    table = _table(("State", "Meaning", "Can become"), rows)
    return f"{_STATES_HEAD}\n{diagram}\n{table}{_STATES_TAIL}"


def _next_states(state: State) -> str:
    if state in RETRYABLE:
        return "`received`, by a retry"
    return ", ".join(f"`{target}`" for target in State if target in TRANSITIONS[state]) or "–"


def cli_page() -> str:
    """Return ``reference-cli.md``, with the commands in the order of ``telecine --help``."""
    parts = [_CLI_HEAD]
    commands = (command for entry in entries() for command in _commands(load(entry.name), f"telecine {entry.name}"))
    for name, command in commands:
        parts.append(f"## {name}\n\n{_plain(command.help)}\n")
        if rows := [_parameter(item) for item in command.params]:
            parts.append(_table(("Parameter", "Default", "Meaning"), rows))
    return "\n".join(parts)


def decisions_page() -> str:
    """Return ``decisions/README.md``: one line per decision, with its title and status."""
    rows = []
    for path in sorted(DOCS.glob("decisions/0*.md")):
        title, _, text = path.read_text(encoding="utf-8").partition("\n")
        number, _, name = title.removeprefix("# ").partition(". ")
        rows.append((number, f"[{name}]({path.name})", text.strip().partition("\n")[0].removesuffix(".")))
    return f"{_DECISIONS_HEAD}\n{_table(('Number', 'Decision', 'Status'), rows)}"


def errors_table() -> str:
    """Return the table of all errors that a producer can get, in the order of the class tree."""
    rows = [
        (f"`{kind.code}`", _sentence(kind), _result(kind))
        for coded in errors.every_error()
        if coded not in _NOT_FOR_PRODUCERS
        for kind in (coded, *_retried_differently(coded))
    ]
    return _table(("`code`", "What it means and what to do", "The request is"), rows)


def data_table(type_: str) -> str:
    """Return the table of a job type's parameters."""
    rows = [
        (f"`{name}`", _default(field), _limits(field), field.description or "")
        for name, field in JOB_TYPES[type_].model_fields.items()
    ]
    return _table(("Field", "Default", "Limits", "Meaning"), rows)


def schedule_table() -> str:
    """Return the default retry schedule of callbacks."""
    rows, passed = [("1", "at once", "0 s")], 0.0
    for number, delay in enumerate(DELAYS_SECONDS, 2):
        passed += delay
        rows.append((str(number), _span(delay), _span(passed)))
    return _table(("Attempt", "Wait before it", "Since the first"), rows)


def metrics_tables() -> str:
    """Return the tables of all metrics, by what they describe."""
    parts = []
    for title, families in SECTIONS.items():
        rows = [(f"`{family.name}`", family.kind, _labels(family.labels), family.help) for family in families]
        parts.append(f"### {title}\n\n{_table(('Metric', 'Kind', 'Labels', 'Meaning'), rows)}")
    return "\n" + "\n".join(parts) + "\n"


def _labels(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


TABLES: dict[str, Callable[[], str]] = {
    "errors": errors_table,
    "schedule": schedule_table,
    "metrics": metrics_tables,
} | {
    # Extensions may have registered other types.
    name: functools.partial(data_table, name)
    for name, data in JOB_TYPES.items()
    if data.__module__.startswith("schemas.")
}


def prometheus_rule() -> str:
    """Return the alert rules as an object of the Prometheus operator."""
    rules = (_DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    return _RULES_HEAD + textwrap.indent(rules[rules.index("groups:") :], "  ")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page that is generated in whole or in part, with its current text."""
    yield DOCS / "settings.md", settings_page()
    yield DOCS / "states.md", states_page()
    yield DOCS / "reference-cli.md", cli_page()
    yield DOCS / "decisions" / "README.md", decisions_page()
    yield DOCS / "reference-extension-api.md", extension_page((DOCS / "extension-api.md").read_text(encoding="utf-8"))
    yield _DEPLOY / "kubernetes" / "components" / "monitoring" / "rules.yaml", prometheus_rule()
    yield from ((DOCS / "images" / name, draw()) for name, draw in DRAWINGS.items())
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if "<!-- generated: " in text:
            yield path, _filled(text)


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` compare them, and return the exit status."""
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(DOCS.parent)} is not current: run python docs/generate.py", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _filled(text: str) -> str:
    for name, make in TABLES.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = f"{before}{begin}\n{make()}{end}{rest.partition(end)[2]}"
    return text


def _sections() -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in (line for part in PARTS for line in inspect.getsource(part).splitlines()):
        if title := re.fullmatch(r"    # ([A-Z][\w. ]*)", line):
            found.append((title[1], []))
        elif (field := re.match(r"    (\w+): ", line)) and field[1] in Settings.model_fields:
            found[-1][1].append(field[1])
    missing = set(Settings.model_fields) - {name for _, names in found for name in names}
    assert not missing, f"no section has {missing}"
    return found


def _variable(name: str) -> str:
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"TELECINE_{name.upper()}"


def _setting_cells(name: str) -> tuple[str, str, str]:
    field = Settings.model_fields[name]
    default = "number of processors that it may use" if name == "concurrency" else _default(field)
    return default, _limits(field), field.description or ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=False)
    if value is None or value in ([], (), {}, ""):
        return "–"
    if isinstance(value, list):
        return f"`{','.join(f'{item:g}' if isinstance(item, float) else str(item) for item in value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _limits(field: FieldInfo) -> str:
    words = [f"`{choice}`" for choice in _choices(field.annotation)]
    low, high = None, None
    for item in _constraints(field):
        match item:
            case annotated_types.Ge(ge=value):
                low = f"{_number(value)}"
            case annotated_types.Gt(gt=value):
                low = f"more than {_number(value)}"
            case annotated_types.Le(le=value):
                high = _number(value)
            case _:
                continue
    if low and high:
        words.append(f"{low} to {high}")
    elif low:
        words.append(low if low.startswith("more") else f"at least {low}")
    elif high:
        words.append(f"at most {high}")
    return ", ".join(words)


def _constraints(field: FieldInfo) -> Iterable[Any]:
    for item in field.metadata:
        yield item
        yield from getattr(item, "metadata", ())


def _choices(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    return [choice for part in typing.get_args(annotation) for choice in _choices(part)]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _sentence(kind: type[TelecineError]) -> str:
    return kind().message.rstrip(".") + "."


def _retried_differently(coded: type[TelecineError]) -> list[type[TelecineError]]:
    """Return the subclasses with the same code of which one is retried and the other is not."""
    children = (child for child in coded.__subclasses__() if "code" not in child.__dict__)
    return [child for child in children if child().retryable != coded().retryable]


def _result(kind: type[TelecineError]) -> str:
    if kind in _RESULTS:
        return _RESULTS[kind]
    if kind().retryable:
        return "retried"
    return "refused" if issubclass(kind, RequestError) else "failed"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, child in command.commands.items():
        yield from _commands(child, f"{name} {word}")


def _parameter(item: Any) -> tuple[str, str, str]:
    if item.param_type_name == "argument":
        text = item.help or ""
        return f"`{item.metavar or item.name.upper()}`", "required" if item.required else "–", text
    names = ", ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
    default = (
        "–" if item.default in (None, False, ()) else f"`{str(item.default).lower() if item.is_flag else item.default}`"
    )
    return names, default, item.help or ""


def _plain(text: str | None) -> str:
    return re.sub(r"\s*\n(?!\n)\s*", " ", inspect.cleandoc(text or "").replace("\n\n", "\0")).replace("\0", "\n\n")


def _span(seconds: float) -> str:
    if seconds >= 3600 and seconds % 3600 == 0:
        return f"{seconds / 3600:g} h"
    return duration(seconds).removesuffix(" 0 min").removesuffix(" 0 s").replace(".00", "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Escape ``|``, which would end the cell, and ``<``, which would begin HTML, except in code."""
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
