"""A text of its own in every field that any operation reads: none comes to stand in a log, a figure, a refusal or a header, and
in files only where an operation is there to keep it.

Which fields there are is not written down here: the server's own reading tells. Each request is sent again with every name
that was asked for, until no new one is.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragoman.server import operation as module
from dragoman.server.call import Call
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.keys import SCOPES
from dragoman.server.operation import Operation
from dragoman.store import engines
from dragoman.store.run.aliases import target
from dragoman.store.run.bundle import Bundle
from tests.server.living import Live, faulty, living, until
from tests.server.test_recorder import run_of
from tests.server.test_security import all_operations, key

SECTION = "{screen: {}, alerts: [{name: lost, figure: lost, above: 0}]}"
# What each operation is there to keep, and in which file: the memory, the glossary, a person's word, a key's name.
DESK = {"run/ledger.sqlite", "run/memory/memory.sqlite", "state/memory.sqlite", "state/feedback.sqlite"}
KEPT: dict[str, set[str]] = {}
for names, files in (
    ("suggest confirm feedback", DESK),
    ("prefer", {"state/preferences.jsonl"}),
    ("glossary_create glossary_change dictionary_put", {"state/server.sqlite"}),
    ("memory_import memory_upload", {"state/server.sqlite", "state/memory.sqlite"}),
    ("key_create", {"state/keys.sqlite"}),
    ("alias_set", {"state/aliases.json"}),
):
    KEPT |= {name: files for name in names.split()}
ENTRY = {"source_lang": "en", "target_lang": "de", "entries": "plan\tPlan", "entries_format": "tsv"}
FITTING: dict[
    str, Any
] = {  # values with which a request is mostly answered; other fields are left out, but for a canary
    **dict.fromkeys(("source", "source_lang", "source_language"), "en"),
    **dict.fromkeys(("target", "target_lang", "target_language"), "de"),
    **dict.fromkeys(("q", "s", "translation", "prompt", "input", "first", "second", "name"), "Hello there"),
    "text": ["Hello there"],
    "messages": [{"role": "user", "content": "Hello there"}],
    "dictionaries": [ENTRY],
    "entries": ENTRY["entries"],
    "entries_format": "tsv",
    "segments": [{"source": "One", "target": "Eins"}],
    "metadata": {"source_language": "en", "target_language": "de"},
    "instances": [{"text": "One", "source": "en", "target": "de"}],
    "scopes": ["translate"],
    "first_model": "run",
    "second_model": "null",
    "model": "",
}
BY_OPERATION: dict[tuple[str, str], Any] = {
    **{(name, "text"): "Hello there" for name in ("confirm", "feedback", "prefer", "segments")},
    ("feedback", "verdict"): "bad",
    ("prefer", "verdict"): "first",
    ("alias_set", "model"): "packed",
    **{(name, "model"): "packed" for name in ("private", "private_weights")},
}
# Names that whoever runs the server gives, for logs and figures to tell what answers.
NAMES = {("alias_set", "path")}
UPLOAD = 500  # bytes of a translation memory that is sent


class Noting(dict[str, Any]):
    """Fields or headers of a request that note which names are asked for."""

    def __init__(self, names: set[str], *given: Any) -> None:
        super().__init__(*given)
        self.names = names

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self.names.add(name)
        return super().pop(name, *default)

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return super().__contains__(name)


@dataclass
class Walk:
    """All requests of one server, and where each canary was put: (operation, place)."""

    live: Live
    headers: dict[str, str]
    names: dict[str, dict[str, set[str]]]  # of fields and headers that were read, by operation
    put: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def canary(self, one: Operation, place: str) -> str:
        text = f"kanarix{len(self.put):05d}x"
        self.put[text] = (one.name, place)
        return text

    def send(self, one: Operation, **request: Any) -> httpx2.Response:
        path = request.pop("path", one.path)
        headers = {**self.headers, **request.pop("headers", {})}
        answer = self.live.http.request(one.method, path, headers=headers, **request)
        self.statuses[one.name].add(answer.status_code)
        told = str(answer.headers) + (answer.text if answer.status_code >= 400 else "")
        self.refused += [f"{self.put[text]}: {told}" for text in re.findall(r"kanarix\d{5}x", told)]
        return answer

    def fitting(self, one: Operation) -> dict[str, Any]:
        read = self.names["fields"][one.name]
        values = {name: BY_OPERATION.get((one.name, name), FITTING.get(name)) for name in sorted(read)}
        return copy.deepcopy({name: value for name, value in values.items() if value is not None})

    def operation(self, one: Operation, ids: list[str]) -> None:
        paths = [re.sub(r"\{[^}]*\}", one_id, one.path) for one_id in ids] if "{" in one.path else [one.path]
        known = -1
        while len(self.names["fields"][one.name]) > known:  # each field that is read may lead to others
            known = len(self.names["fields"][one.name])
            for path in paths:
                self.send(one, path=path, **_as_sent(one, self.fitting(one), "a.txt", b"Hello."))
        for path in paths:
            for place, fields in self.leaves(one):
                self.send(one, path=path, **_as_sent(one, fields, "a.txt", b"Hello."))
                if one.method != "GET" and isinstance(fields.get(place), str):
                    self.send(one, path=path, params=fields)
            self.odd(one, path)
        if "{" in one.path:
            path = re.sub(r"\{[^}]*\}", self.canary(one, "path"), one.path)
            self.send(one, path=path, **_as_sent(one, self.fitting(one), "a.txt", b"Hello."))
        self.send(one, params={self.canary(one, "name of a field"): self.canary(one, "unknown field")})

    def odd(self, one: Operation, path: str) -> None:
        """Files, headers, and bodies that are none."""
        if one.body in ("file", "raw"):
            for suffix in ("txt", "xliff", "docx", "json", "html"):
                text = self.canary(one, "file").encode()
                for content in (text, b"<p>" + text, b"PK" + text, b'{"a": "' + text + b'"}'):
                    name = f"{self.canary(one, 'file name')}.{suffix}"
                    self.send(one, path=path, **_as_sent(one, self.fitting(one), name, content))
        for header in sorted(self.names["headers"][one.name] | {"user-agent", "x-request-id", "traceparent"}):
            if header not in ("host", "content-length", "transfer-encoding"):
                told = {header: self.canary(one, f"header {header}")}
                self.send(one, path=path, headers=told, json=self.fitting(one))
        for content in ('{{"q": {}', '"{}"', "{}\0"):
            text = content.replace("{}", self.canary(one, "damaged body")).replace("{{", "{")
            self.send(one, path=path, content=text.encode(), headers={"content-type": "application/json"})

    def leaves(self, one: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
        """The fitting fields with a canary in one place, each place in its turn: alone, and at the end of what fits."""
        fields = self.fitting(one)
        for name in sorted(self.names["fields"][one.name]):
            for where in _places(fields.get(name, ""), (name,)):
                whole = {**fields, name: fields.get(name, "")}
                for before in ("", f"{_at(whole, where)} "):
                    changed = copy.deepcopy(whole)
                    _at(changed, where[:-1])[where[-1]] = before + self.canary(one, ".".join(map(str, where)))
                    yield name, changed


def _places(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(one, (*place, name))
    yield place


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for part in place:
        value = value[part]
    return value


def _as_sent(one: Operation, fields: dict[str, Any], name: str, content: bytes) -> dict[str, Any]:
    if one.body == "raw":  # as long as the job was told
        return {"content": content.ljust(UPLOAD), "headers": {"content-type": "application/xml"}}
    if one.body == "file":
        plain = {name: value for name, value in fields.items() if isinstance(value, str)}
        return {"data": plain, "files": {"file": (name, content)}}
    return {"params": fields} if one.method in ("GET", "DELETE") else {"json": fields}


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, set[str]]]:
    names: dict[str, dict[str, set[str]]] = {"fields": defaultdict(set), "headers": defaultdict(set)}

    def made(**about: Any) -> Call:
        operation = about["operation"]
        about["headers"] = Noting(names["headers"][operation], about["headers"])
        return Call(**about, fields=Noting(names["fields"][operation]))

    monkeypatch.setattr(module, "Call", made)
    return names


class Lines(logging.Handler):
    """All that any library of the server's process logs, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("httpx2", "httpcore2")):  # the client of this test
            self.lines.append(f"{record.name} {self.format(record)}")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler.lines
    root.removeHandler(handler)
    root.setLevel(level)


def _packed(folder: Path) -> Path:
    """A folder that passes for a bundle with a file for the browser."""
    for name, text in {
        "model/manifest.json": "{}",
        "model/config.json": "{}",
        "model/dragoman.json": json.dumps({"directions": ["en-de"], "prompt": {"kind": "compact"}}),
        "gguf-q8_0/model.gguf": "GGUF",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    Bundle.finish(folder, "gguf-q8_0", {"gguf-q8_0": {}}, {})
    return folder


def _trained(run: Path) -> None:
    """The curves of a training."""
    (run / "train" / "0-sft").mkdir(parents=True)
    (run / "train" / "0-sft" / "metrics.jsonl").write_text('{"event": "step", "step": 1, "loss": 2.0}\n')


def _engine(folder: Path) -> Path:
    """A folder that passes for that of the browser's engine."""
    package = engines.PACKAGES["wllama"]
    place = folder / f"wllama-{package.version}"
    place.mkdir(parents=True)
    for name in package.files.values():
        (place / name).write_text("")
    return folder


def _memory(walk: Walk) -> tuple[str, str, str]:
    """A translation memory that was imported and exported: its id, that of the import, and the token of the download."""
    live, headers, place = walk.live, walk.headers, "/v3/translation_memories"
    told = {"source_file": {"content_length": UPLOAD, "file_name": "m.tmx"}}
    about: dict[str, Any] = {}

    def ended(identity: str, how: str) -> bool:
        about.update(live.json("GET", f"{place}/jobs/{identity}", headers=headers)["results"][0])
        return about["status"] == how

    def imported(content: str, how: str) -> str:
        job = live.json("POST", f"{place}/import", json=told, headers=headers)
        kind = {"content-type": "application/xml"}
        sent = live.http.put(job["upload_url"], content=content.encode().ljust(UPLOAD), headers=kind)
        assert sent.status_code == 200
        until(lambda: ended(job["job_id"], how))
        return str(job["job_id"])

    upload = next(one for one in all_operations() if one.name == "memory_upload")
    seg = '<tuv xml:lang="{}"><seg>{}</seg></tuv>'
    tmx = '<tmx version="1.4"><header srclang="en"/><body><tu>{}{}</tu></body></tmx>'
    for damaged in ("{}", "<tmx>{}</tmx", "<{}/>", "<tmx><body>&{};</body></tmx>", '<!DOCTYPE a SYSTEM "{}"><tmx/>'):
        imported(damaged.format(walk.canary(upload, "damaged file")), "failed")
        assert "kanarix" not in about["error"]["message"]
    german = seg.format("de", walk.canary(upload, "target"))
    job = imported(tmx.format(seg.format("en", walk.canary(upload, "file")), german), "completed")
    memory = about["translation_memory_id"]
    out = live.json("POST", f"{place}/{memory}/export", json={}, headers=headers)["job_id"]
    until(lambda: ended(out, "completed"))
    return memory, job, about["download_url"].rpartition("/")[2]


def _ids(walk: Walk) -> dict[str, list[str]]:
    """What is there to be asked for: glossaries, a memory, its jobs, a document, an evaluation, a run."""
    live, headers, way = walk.live, walk.headers, {"source_lang": "en", "target_lang": "de"}
    glossary = {"name": "g", "entries": "plan\tPlan", "entries_format": "tsv", **way}
    made, other_glossary = (
        live.json("POST", "/v2/glossaries", json=glossary | {"name": name}, headers=headers)["glossary_id"]
        for name in ("g", "h")
    )
    sent = live.json("POST", "/v2/document", files={"file": ("a.txt", b"Hello.")}, data=way, headers=headers)
    file = {"files": {"file": ("a.txt", b"Hello.")}, "data": {"source": "en", "target": "de"}}
    url = live.json("POST", "/translate_file", headers=headers, **file)["translatedFileUrl"]
    judged = live.json(
        "POST",
        "/v1/quality-evaluation",
        json={name: FITTING[name] for name in ("segments", "metadata")},
        headers=headers,
    )["job_id"]
    memory, job, token = _memory(walk)
    FITTING["source_file"] = {"content_length": UPLOAD, "file_name": "m.tmx"}
    place = "/v3/translation_memories/import"
    again = live.json("POST", place, json={"source_file": FITTING["source_file"]}, headers=headers)
    live.json("POST", "/api/keys", json={"name": "other", "scopes": ["translate"]}, headers=headers)
    (other,) = (one for one in live.json("GET", "/api/keys", headers=headers)["keys"] if one["name"] == "other")
    for model in ("run", "packed"):  # the second, so that there is something to go back to
        live.json("PUT", "/api/aliases/champion", json={"model": model}, headers=headers)
    FITTING.update(glossary_id=made, document_key=sent["document_key"], translation_memory_id=memory, memory_id=memory)
    return {
        "/upload/": [again["upload_url"].rpartition("/")[2]],
        "/download/": [token],
        "/jobs/": [job],
        "/translation_memories/": [memory],
        "/dictionaries": [other_glossary],
        "/glossaries/": [made],
        "/document/": [sent["document_id"]],
        "/api/documents/": [sent["document_id"]],
        "/download_file/": [url.rpartition("/")[2]],
        "/quality-evaluation/": [judged],
        "/api/keys/": [other["id"]],
        "/models/": ["null"],
        "/aliases/": ["champion"],
        "/api/": ["run"],
    }


@pytest.mark.long  # 3,000 requests
def test_no_text_stands_where_none_belongs(
    tmp_path: Path,
    noted: dict[str, dict[str, set[str]]],
    lines: list[str],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(engines.FOLDER, str(_engine(tmp_path / "engines")))
    run = run_of(tmp_path / "run", SECTION)
    _trained(run)
    models = [target(run), target(_packed(tmp_path / "packed")), NullModel()]
    gateway = Gateway(tmp_path / "state", models=models, command=faulty(), must_have_key=True, runs=tmp_path)
    gateway.pace = type(gateway.pace)(failures=10**6)
    with living(gateway) as live:
        walk = Walk(live, key(live, "all", *SCOPES), noted)
        ids = _ids(walk)
        known = [one for one in all_operations() if one.name not in ("page", "root")]
        for one in sorted(known, key=lambda one: (one.method == "DELETE", one.name != "dictionary_delete")):
            walk.operation(one, next((some for part, some in ids.items() if part in one.path), ["none"]))
        until(lambda: not gateway.documents.running and not gateway.evaluations.running)
        figures = live.http.get("/metrics", headers=walk.headers).text
        while_open = _found(tmp_path, walk)
    out, err = capfd.readouterr()
    assert len(walk.put) > 1_000 and len(lines) > 100 and '"event": "request"' in err
    assert not [one.name for one in known if min(walk.statuses[one.name]) >= 300]
    assert not walk.refused[:5]
    named = "|".join(text for text, place in walk.put.items() if place in NAMES)
    assert named
    assert "kanarix" not in re.sub(named, "", figures)
    assert not [line for line in (out + err).splitlines() if "kanarix" in re.sub(named, "", line)][:5]
    assert not [line for line in lines if "kanarix" in re.sub(named, "", line)][:5]
    for places in (while_open, _found(tmp_path, walk)):
        stray = {place for place in places if place[2] not in KEPT.get(place[0], set())}
        assert not sorted(stray)
    assert {"confirm", "prefer", "glossary_create", "key_create"} <= {place[0] for place in while_open}


def _found(folder: Path, walk: Walk) -> set[tuple[str, str, str]]:
    """(operation, place, file) of the canaries in any file, its name, free pages and write-ahead logs among them."""
    found = set()
    for path in folder.rglob("*"):
        name = re.sub(r"-(wal|shm|journal)$", "", path.relative_to(folder).as_posix())
        held = name.encode() + (path.read_bytes() if path.is_file() else b"")
        for text in set(re.findall(rb"kanarix\d{5}x", held.replace(b"\0", b""))):
            found.add((*walk.put[text.decode()], name))
    return found
