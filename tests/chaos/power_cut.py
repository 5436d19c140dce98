"""What a power cut leaves of a folder, worked out from the system calls of the programs that wrote into it.

``record`` runs a program under strace. ``Recording.state_at`` writes the folder as a disk may have it after a power cut
at any moment: what was flushed by then, and an arbitrary choice of everything else. The rules are those of POSIX, which
are stricter than those of any one file system: a file's content is safe after fsync of the file, its name after fsync
of its folder, and a rename happens whole or not at all.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = (
    "openat,write,pwrite64,writev,pwritev,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,fsync,fdatasync,setxattr,fsetxattr,sendfile,copy_file_range,sync_file_range,syncfs,sync"
)
_LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)\) = (\d+(?:<.*>)?)(?:\(deleted\))?(?: \(.*\))? <(\d+\.\d+)>$")
#: Calls that the model has no rules for. A program that uses one on the folder cannot be judged.
_UNKNOWN = {"writev", "pwritev", "fallocate", "sync_file_range", "syncfs", "sync"}
#: Calls whose first argument is the file, and whose other strings are no names.
_CONTENT = {"write", "pwrite64", "ftruncate", "fsync", "fdatasync", "setxattr", "fsetxattr"}
_NEVER = float("inf")
#: SQLite writes its shared memory by mmap, and rebuilds it after a crash.
_SHARED_MEMORY = "-shm"


@dataclass(eq=False)
class _Change:
    """One change of a file's content or of a name: when it was made, and when it was flushed."""

    at: float
    apply: Callable[..., None]
    flushed: float = _NEVER


@dataclass(eq=False)
class _Node:
    """A file or folder. A file has changes of its content; a folder has names, as they are while the log is read."""

    is_folder: bool
    changes: list[_Change] = field(default_factory=list)
    names: dict[str, _Node] = field(default_factory=dict)
    size: int = 0


class Recording:
    """The changes below ``root``, which had the content of ``base`` when the recording began."""

    def __init__(self, root: Path, base: Path, logs: Sequence[Path]) -> None:
        self._root = root
        self._top = _Node(is_folder=True)
        #: Changes of names, in order, each with the folder whose fsync makes it safe.
        self._renames: list[tuple[_Node, _Change]] = []
        #: By descriptor: files that were opened without a name, under the names that strace gives them.
        self._nameless: dict[int, tuple[str, ...]] = {}
        self._load(base, self._top)
        for start, end, name, arguments, result in sorted(_calls(logs), key=lambda call: call[1]):
            self._replay(start, end, name, arguments, result)

    @property
    def moments(self) -> list[float]:
        """The times of all changes, in seconds since the epoch."""
        contents = (change.at for node in self._nodes() for change in node.changes if change.at)
        return sorted({*contents, *(change.at for _, change in self._renames if change.at)})

    def state_at(self, moment: float, target: Path, chance: random.Random) -> None:
        """Write into ``target`` what a power cut at ``moment`` leaves; ``chance`` chooses what was not flushed."""
        share = chance.choice((0.0, 0.5, 0.9))

        def kept(changes: Iterable[_Change]) -> list[_Change]:
            return [
                change
                for change in changes
                if change.at <= moment and (change.flushed <= moment or chance.random() < share)
            ]

        names: dict[_Node, dict[str, _Node]] = {}
        for change in kept(change for _, change in self._renames):
            change.apply(names)
        waiting = [(self._top, target)]
        while waiting:
            node, path = waiting.pop()
            if node.is_folder:
                path.mkdir()
                inner = names.get(node, {})
                waiting += [(inner[name], path / name) for name in inner if not name.endswith(_SHARED_MEMORY)]
            else:
                _write_file(path, kept(node.changes))

    def _nodes(self) -> Iterator[_Node]:
        seen: set[_Node] = set()
        waiting = [self._top]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += node.names.values()
                yield node

    def _load(self, path: Path, node: _Node) -> None:
        for inner in sorted(path.iterdir()):
            made = _Node(is_folder=inner.is_dir())
            self._name(node, inner.name, made, 0.0)
            if made.is_folder:
                self._load(inner, made)
            else:
                self._write(made, 0.0, 0, inner.read_bytes())
                for name in os.listxattr(inner):
                    self._attribute(made, 0.0, name, os.getxattr(inner, name))
                for change in made.changes:
                    change.flushed = 0.0
        for _, change in self._renames:
            change.flushed = 0.0

    def _replay(self, start: float, end: float, name: str, arguments: list[str], result: str) -> None:
        named = arguments[:1] if name in _CONTENT else arguments
        paths = [path for path in map(self._below, _paths(named)) if path is not None]
        if not paths:
            return
        assert name not in _UNKNOWN, f"the program calls {name}, for which this model has no rules"
        if name == "openat" and "O_TMPFILE" in arguments[2]:
            self._open_nameless(result)
        elif name == "openat":
            self._open(end, paths[-1], arguments[2])
        elif name in ("mkdir", "mkdirat"):
            self._name(self._find(paths[-1][:-1]), paths[-1][-1], _Node(is_folder=True), end)
        elif name in ("unlink", "unlinkat", "rmdir"):
            self._unname(self._find(paths[-1][:-1]), paths[-1][-1], end)
        elif name == "linkat" and (descriptor := re.match(rb"/proc/self/fd/(\d+)$", _text(arguments[1]))) is not None:
            self._move(self._nameless[int(descriptor.group(1))], paths[-1], end, keep=True)
        elif name in ("rename", "renameat", "renameat2", "link", "linkat"):
            assert len(paths) == 2, f"{name} across the edge of the folder"
            self._move(paths[0], paths[1], end, keep=name.startswith("link"))
        elif name in ("sendfile", "copy_file_range"):
            source, target = paths if name == "copy_file_range" else reversed(paths)
            self._copy(end, source, target, int(result))
        elif (node := self._open_file(paths[0])) is not None:
            self._change(node, start, end, name, arguments, int(result))

    def _change(self, node: _Node, start: float, end: float, name: str, arguments: list[str], result: int) -> None:
        if name in ("fsync", "fdatasync"):
            self._flush(node, start, end)
        elif name == "ftruncate":
            self._truncate(node, end, int(arguments[1]))
        elif name in ("setxattr", "fsetxattr"):
            self._attribute(node, end, _text(arguments[1]).decode(), _text(arguments[2]))
        else:
            offset = node.size if name == "write" else int(arguments[3])
            self._write(node, end, offset, _text(arguments[1])[:result])

    def _open(self, at: float, path: tuple[str, ...], flags: str) -> None:
        if "O_CREAT" not in flags and "O_TRUNC" not in flags:
            return
        folder, name = self._find(path[:-1]), path[-1]
        if name not in folder.names:
            self._name(folder, name, _Node(is_folder=False), at)
        elif "O_TRUNC" in flags:
            self._truncate(folder.names[name], at, 0)

    def _open_nameless(self, result: str) -> None:
        """Add a file that was opened without a name, in no folder that a power cut leaves."""
        descriptor, (path,) = int(result.partition("<")[0]), _paths([result])
        parts = self._below(path)
        assert parts is not None
        self._find(parts[:-1]).names[parts[-1]] = _Node(is_folder=False)
        self._nameless[descriptor] = parts

    def _name(self, folder: _Node, name: str, node: _Node, at: float) -> None:
        folder.names[name] = node

        def apply(names: dict[_Node, dict[str, _Node]]) -> None:
            names.setdefault(folder, {})[name] = node

        self._renames.append((folder, _Change(at, apply)))

    def _unname(self, folder: _Node, name: str, at: float) -> None:
        del folder.names[name]

        def apply(names: dict[_Node, dict[str, _Node]]) -> None:
            names.get(folder, {}).pop(name, None)

        self._renames.append((folder, _Change(at, apply)))

    def _move(self, old: tuple[str, ...], new: tuple[str, ...], at: float, *, keep: bool) -> None:
        source, target = self._find(old[:-1]), self._find(new[:-1])
        node = source.names[old[-1]] if keep else source.names.pop(old[-1])
        target.names[new[-1]] = node

        def apply(names: dict[_Node, dict[str, _Node]]) -> None:
            if not keep:
                names.get(source, {}).pop(old[-1], None)
            names.setdefault(target, {})[new[-1]] = node

        self._renames.append((target, _Change(at, apply)))

    def _write(self, node: _Node, at: float, offset: int, data: bytes) -> None:
        node.size = max(node.size, offset + len(data))

        def apply(content: bytearray, attributes: dict[str, bytes]) -> None:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data

        node.changes.append(_Change(at, apply))

    def _copy(self, at: float, source: tuple[str, ...], target: tuple[str, ...], count: int) -> None:
        content, node = bytearray(), self._find(target)
        for change in self._find(source).changes:
            change.apply(content, {})
        self._write(node, at, node.size, bytes(content[node.size : node.size + count]))

    def _truncate(self, node: _Node, at: float, size: int) -> None:
        node.size = size

        def apply(content: bytearray, attributes: dict[str, bytes]) -> None:
            content.extend(bytes(max(0, size - len(content))))
            del content[size:]

        node.changes.append(_Change(at, apply))

    def _attribute(self, node: _Node, at: float, name: str, value: bytes) -> None:
        def apply(content: bytearray, attributes: dict[str, bytes]) -> None:
            attributes[name] = value

        node.changes.append(_Change(at, apply))

    def _flush(self, node: _Node, start: float, end: float) -> None:
        changes = [change for folder, change in self._renames if folder is node] if node.is_folder else node.changes
        for change in changes:
            if change.at <= start:
                change.flushed = min(change.flushed, end)

    def _below(self, path: Path) -> tuple[str, ...] | None:
        return path.relative_to(self._root).parts if path.is_relative_to(self._root) else None

    def _find(self, parts: tuple[str, ...]) -> _Node:
        node = self._top
        for part in parts:
            node = node.names[part]
        return node

    def _open_file(self, parts: tuple[str, ...]) -> _Node | None:
        """Return the file or folder, or ``None`` if it was deleted while it was open."""
        try:
            return self._find(parts)
        except KeyError:
            return None


def _write_file(path: Path, changes: Iterable[_Change]) -> None:
    content, attributes = bytearray(), dict[str, bytes]()
    for change in changes:
        change.apply(content, attributes)
    path.write_bytes(content)
    for name, value in attributes.items():
        os.setxattr(path, name, value)


def record(command: Sequence[str], root: Path, base: Path, logs: Path, **options: object) -> Recording:
    """Run ``command`` and record what it does below ``root``, which is now as ``base`` is."""
    logs.mkdir()
    tracer = ["strace", "-ff", "--seccomp-bpf", "-ttt", "-T", "-y", "-xx", "-s", str(2**24), "-e", f"trace={_CALLS}"]
    subprocess.run([*tracer, "-o", str(logs / "log"), *command], check=True, **options)  # type: ignore[call-overload]
    return Recording(root, base, sorted(logs.iterdir()))


def _calls(logs: Sequence[Path]) -> Iterator[tuple[float, float, str, list[str], str]]:
    """Yield the calls that succeeded: start and end, name, arguments, and what it returned, perhaps with its path."""
    for line in itertools.chain.from_iterable(log.read_text().splitlines() for log in logs):
        if (found := _LINE.match(line)) is not None:
            start, name, arguments, result, seconds = found.groups()
            yield float(start), float(start) + float(seconds), name, arguments.split(", "), result


def _paths(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the absolute paths among the arguments: descriptors with their paths, and the strings after them."""
    folder = Path("/")
    for argument in arguments:
        if (found := re.match(r"^(?:\d+|AT_FDCWD)<(.*?)>", argument)) is not None:
            path = Path(os.fsdecode(_bytes(found.group(1))))
            folder = path
            if not argument.startswith("AT_FDCWD"):
                yield path
        elif argument.startswith('"') and (text := _text(argument)).startswith(b"/"):
            yield Path(os.fsdecode(text))
        elif argument.startswith('"') and folder != Path("/"):
            yield folder / os.fsdecode(_text(argument))


def _text(argument: str) -> bytes:
    assert argument[:1] == argument[-1:] == '"', argument
    return _bytes(argument[1:-1])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
