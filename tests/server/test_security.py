"""Who is let in, what is kept apart, and what no log, error or figure may hold."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from dragoman.server.app import App, operations
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.keys import SCOPES
from dragoman.server.operation import Operation
from dragoman.server.settings import Limits
from dragoman.store.run.aliases import target

from tests.server.living import Live, living, until  # isort: skip

# Whatever is not here wants a key.
OPEN = {
    ("GET", "/health/live"),
    ("GET", "/ping"),  # SageMaker's question whether it is ready
    ("GET", "/health/ready"),
    ("GET", "/health/startup"),
    ("GET", "/health"),
    ("GET", "/frontend/settings"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("PUT", "/v3/translation_memories/upload/{token}"),  # the token is the key
    ("GET", "/v3/translation_memories/download/{token}"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with the null engine where keys are needed."""
    gateway = Gateway(tmp_path_factory.mktemp("state"), models=[NullModel()], must_have_key=True)
    gateway.pace = type(gateway.pace)(failures=10_000)
    with living(gateway) as live:
        yield live


def key(live: Live, name: str, *scopes: str, **facts: Any) -> dict[str, str]:
    async def create() -> str:
        return live.gateway.keys.create(name, scopes, **facts)

    return {"Authorization": f"Bearer {live.call(create())}"}


def all_operations() -> list[Operation]:
    class Stub:
        page = Path("/nowhere")

    return operations(Stub())  # type: ignore[arg-type]


def test_only_these_operations_are_open(guarded: Live) -> None:
    known = operations(guarded.gateway)
    page = {(one.method, one.path) for one in known if one.path.startswith("/page/")}
    assert page  # the page's files are open, and nothing but files
    assert all(method == "GET" and (guarded.gateway.page / path[6:]).is_file() for method, path in page)
    assert {(one.method, one.path) for one in known if one.scope is None} - page == OPEN
    assert {one.scope for one in known} - {None} <= set(SCOPES)
    routes = App(guarded.gateway)._router.routes
    assert all(isinstance(route, Route) for route in routes)  # nothing is mounted beside the operations
    assert [route.path for route in routes if isinstance(route, Route)] == list(
        dict.fromkeys(one.path for one in known)
    )
    for method, path in OPEN:
        answer = guarded.http.request(method, re.sub(r"\{[^}]*\}", "x", path))
        assert answer.status_code == (404 if "{" in path else 200), (method, path)


def _reason(dialect: str, answer: httpx2.Response) -> str:
    """Why somebody is refused, who finds it in the very form that clients of the dialect read."""
    told = answer.json()
    if dialect == "libretranslate":
        assert list(told) == ["error"]
        return str(told["error"])
    if dialect == "deepl":
        assert list(told) == ["message"]
        return str(told["message"])
    assert list(told) == ["error"]
    assert set(told["error"]) == {"message", "type", "param", "code"}
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert told["error"]["type"] == "authentication_error"
        assert dialect == "api" or told["error"]["code"] == "invalid_api_key"
    else:
        assert (told["error"]["type"], told["error"]["code"]) == ("permission_error", "scope")
    return str(told["error"]["message"])


@pytest.mark.slow
def test_every_operation_refuses_whoever_has_no_right_to_it(guarded: Live) -> None:
    every = key(guarded, "all", *SCOPES)["Authorization"].removeprefix("Bearer ")
    expired = key(guarded, "expired", *SCOPES, days=-1.0)["Authorization"].removeprefix("Bearer ")
    revoked = key(guarded, "revoked", *SCOPES)["Authorization"].removeprefix("Bearer ")
    guarded.call(_revoke(guarded, "revoked"))
    wrong = {one: key(guarded, f"not {one}", *(set(SCOPES) - {one})) for one in SCOPES}
    nobody = ["", "Bearer", every, "Basic YTpi", f"Basic {every}", "\u00e4".encode().decode("latin-1")]
    invalid = ["x", f"{every}x", every[:-1], every.upper(), f"{every},{every}", expired, revoked]
    invalid.append("drg_000000000000_" + "A" * 43)
    told = [*nobody, *(f"{scheme} {one}" for one in invalid for scheme in ("Bearer", "DeepL-Auth-Key"))]
    headers = [{}, *({"Authorization": one.encode("latin-1")} for one in told)]
    known = all_operations()
    for one in known:
        if one.scope is None:
            continue
        path = re.sub(r"\{[^}]*\}", "x", one.path)
        late = one.dialect in ("deepl", "libretranslate")
        requests: list[dict[str, Any]] = [{"headers": some} for some in headers]
        if one.body == "fields" and one.dialect == "libretranslate":
            requests += [{"json": {"api_key": some}} for some in [*invalid, "", None, 1, [every], {"key": every}]]
        requests += (
            [{"params": {"api_key": every, "auth_key": every, "key": every}}] if one.dialect != "libretranslate" else []
        )
        for request in requests:
            answer = guarded.http.request(one.method, path, **request)
            assert answer.status_code == (403 if late else 401), (one.method, path, request, answer.status_code)
            assert "key" in _reason(one.dialect, answer), (one.method, path, request)
            assert not any(some in answer.text for some in (every, expired, revoked))
        answer = guarded.http.request(one.method, path, headers=wrong[one.scope])
        assert answer.status_code == 403, (one.method, path)
        assert f"'{one.scope}'" in _reason(one.dialect, answer)
        if one.method == "GET":
            assert guarded.http.head(path).status_code in (401, 403)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - {
            other.method for other in known if other.path == one.path
        }:
            assert guarded.http.request(method, path).status_code == 405


async def _revoke(live: Live, name: str) -> None:
    live.gateway.keys.revoke(name)


def test_each_dialect_says_it_as_its_clients_expect(guarded: Live) -> None:
    deepl = guarded.http.post("/v2/translate", json={"text": ["x"], "target_lang": "DE"})
    libre = guarded.http.post("/translate", json={"q": "x", "source": "en", "target": "de", "api_key": "wrong"})
    ai = guarded.http.post("/v1/chat/completions", json={})
    assert (deepl.status_code, list(deepl.json())) == (403, ["message"])
    assert (libre.status_code, list(libre.json())) == (403, ["error"])
    assert (ai.status_code, ai.json()["error"]["code"]) == (401, "invalid_api_key")


def test_keys_in_the_body_and_in_both_headers_but_never_in_the_address(guarded: Live) -> None:
    headers = key(guarded, "good", "translate")
    plain = headers["Authorization"].split()[1]
    asked = {"q": "Hello", "source": "en", "target": "de"}
    assert guarded.json("POST", "/translate", json=asked, headers=headers)["translatedText"] == "Hello"
    assert guarded.json("POST", "/translate", json={**asked, "api_key": plain})["translatedText"] == "Hello"
    assert guarded.json("POST", "/translate", data={**asked, "api_key": plain})["translatedText"] == "Hello"
    deepl = {"Authorization": f"DeepL-Auth-Key {plain}"}
    assert guarded.json("POST", "/v2/translate", json={"text": ["Hi"], "target_lang": "de"}, headers=deepl)
    query = {"text": "Hi", "target_lang": "de", "auth_key": plain, "api_key": plain}
    assert guarded.http.post("/v2/translate", params=query).status_code == 403


def test_quota_rate_and_lockout(tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[NullModel()], must_have_key=True)) as live:
        small = key(live, "small", "translate", characters=10)
        asked = {"text": ["12345678"], "target_lang": "DE", "source_lang": "EN"}
        assert live.http.post("/v2/translate", json=asked, headers=small).status_code == 200
        assert live.http.post("/v2/translate", json=asked, headers=small).status_code == 456
        ai = live.http.post("/v1/completions", json={"prompt": "12345678", "target_lang": "de"}, headers=small)
        assert (ai.status_code, ai.json()["error"]["type"]) == (429, "insufficient_quota")
        assert live.json("POST", "/v2/usage", headers=small) == {"character_count": 8, "character_limit": 10}
        slow = key(live, "slow", "translate", rate=2)
        codes = [live.http.get("/v1/models", headers=slow) for _ in range(3)]
        assert [one.status_code for one in codes] == [200, 200, 429]
        assert int(codes[2].headers["retry-after"]) >= 1
        for _ in range(20):
            live.http.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        locked = live.http.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        assert locked.status_code == 429


def test_without_keys_a_foreign_page_and_a_foreign_host_are_refused(live: Live) -> None:
    asked = {"q": "x", "source": "en", "target": "de"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
    ):
        assert live.http.post("/translate", data=asked, headers=headers).status_code == 403
    assert live.http.post("/translate", data=asked, headers={"Origin": live.url}).status_code == 200
    assert live.http.get("/api/keys").status_code == 403  # nor may the local user make keys by HTTP


def test_headers(live: Live) -> None:
    for path in ("/", "/translate", "/nothing", "/health/live"):
        headers = live.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


# ---------------------------------------------------------------- tenants


@pytest.mark.slow
def test_no_tenant_sees_anothers_memory_cache_or_glossary(model: Path, tmp_path: Path) -> None:
    with living(Gateway(tmp_path, models=[target(model)], must_have_key=True, threads=1)) as live:
        rights = ("translate", "glossary", "memory", "feedback", "documents")
        ada, bob = key(live, "ada", *rights, tenant="ada"), key(live, "bob", *rights, tenant="bob")

        def says(who: dict[str, str], text: str, **more: Any) -> Any:
            asked = {"q": text, "source": "en", "target": "de", **more}
            return live.json("POST", "/translate", json=asked, headers=who)

        assert says(ada, "Our secret.")["translatedText"] == "Unser Geheimnis."  # of the run's memory, under her name
        assert "Geheimnis" not in json.dumps(says(bob, "Our secret."), ensure_ascii=False)
        before = says(bob, "The plan is ready.")
        better = {"q": "The plan is ready.", "s": "Der Plan steht.", "source": "en", "target": "de"}
        live.json("POST", "/suggest", json=better, headers=ada)
        assert says(ada, "The plan is ready.")["translatedText"] == "Der Plan steht."
        for text in ("The plan is ready.", "The plan is ready!", "The plan is ready. The plan is ready."):
            assert "Plan steht" not in json.dumps(says(bob, text))
        assert says(bob, "The plan is ready.") == before
        made = live.json(
            "POST",
            "/v2/glossaries",
            json={
                "name": "g",
                "source_lang": "en",
                "target_lang": "de",
                "entries": "plan\tPlan",
                "entries_format": "tsv",
            },
            headers=ada,
        )
        identity = made["glossary_id"]
        assert says(ada, "the plan", glossary_id=identity)["details"]["terms"] == [{"source": "plan", "target": "Plan"}]
        for method, path in (
            ("GET", f"/v2/glossaries/{identity}"),
            ("DELETE", f"/v2/glossaries/{identity}"),
            ("GET", f"/v2/glossaries/{identity}/entries"),
            ("GET", f"/v3/glossaries/{identity}"),
            ("DELETE", f"/v3/glossaries/{identity}"),
        ):
            assert live.http.request(method, path, headers=bob).status_code == 404
        asked = {"q": "the plan", "source": "en", "target": "de", "glossary_id": identity}
        assert live.http.post("/translate", json=asked, headers=bob).status_code == 404
        assert live.json("GET", "/v3/glossaries", headers=bob) == {"glossaries": []}
        tmx = (
            b'<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>Open.</seg></tuv>'
            b'<tuv xml:lang="de"><seg>Auf!</seg></tuv></tu></body></tmx>'
        )
        begun = live.json(
            "POST",
            "/v3/translation_memories/import",
            json={"source_file": {"file_name": "a.tmx", "content_length": len(tmx)}},
            headers=ada,
        )
        assert live.http.put(begun["upload_url"], content=tmx).status_code == 200
        assert live.http.put(begun["upload_url"], content=tmx).status_code == 409

        def state() -> Any:
            path = f"/v3/translation_memories/jobs/{begun['job_id']}"
            assert live.http.get(path, headers=bob).status_code == 404
            return live.json("GET", path, headers=ada)["results"][0]

        until(lambda: state()["status"] == "completed")
        memory = state()["translation_memory_id"]
        for method, path in (
            ("GET", f"/v3/translation_memories/{memory}"),
            ("GET", f"/v3/translation_memories/{memory}/segments"),
            ("POST", f"/v3/translation_memories/{memory}/export"),
            ("DELETE", f"/v3/translation_memories/{memory}"),
        ):
            assert live.http.request(method, path, headers=bob).status_code == 404
        with_it = {"text": ["Open."], "source_lang": "EN", "target_lang": "DE", "translation_memory_id": memory}
        assert live.json("POST", "/v2/translate", json=with_it, headers=ada)["translations"][0]["text"] == "Auf!"
        assert live.http.post("/v2/translate", json=with_it, headers=bob).status_code == 404
        sent = live.json(
            "POST",
            "/v2/document",
            files={"file": ("a.txt", b"Open.")},
            data={"target_lang": "de", "source_lang": "en"},
            headers=ada,
        )
        ask = {"document_key": sent["document_key"]}
        assert live.http.post(f"/v2/document/{sent['document_id']}", json=ask, headers=bob).status_code == 404
        assert live.http.post(f"/v2/document/{sent['document_id']}", json=ask, headers=ada).status_code == 200


# ---------------------------------------------------------------- nothing leaks


def test_bodies_are_bounded_and_never_a_fault(guarded: Live) -> None:
    rights = key(guarded, "bodies", "translate", "documents", "glossary")
    limit = guarded.gateway.limits.body
    for content, kind, wanted in (
        (b"x" * (limit + 1), "application/json", 413),
        (b"[" * 200_000, "application/json", 400),
        (b'{"q": ' + b"[" * 100_000, "application/json", 400),
        (b'{"q": ' + b"9" * 100_000 + b"}", "application/json", 400),
        (b'{"q": NaN}', "application/json", 400),
        (b'{"q": "\xff"}', "application/json", 400),
        (b'{"q": "\\ud800", "source": "en", "target": "de"}', "application/json", 400),
        (b"&".join(b"a=b" for _ in range(5_000)), "application/x-www-form-urlencoded", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (b"nothing", "multipart/form-data", 400),
        (b"q=1", "text/plain", 400),
        (json.dumps({"q": ["x"] * 1001, "source": "en", "target": "de"}).encode(), "application/json", 413),
        (json.dumps({"q": "x" * 100_001, "source": "en", "target": "de"}).encode(), "application/json", 413),
    ):
        answer = guarded.http.post("/translate", content=content, headers={**rights, "content-type": kind})
        assert answer.status_code == wanted, (content[:40], answer.text)

    def endless() -> Iterator[bytes]:
        for _ in range(2 * limit // 65_536):
            yield b"x" * 65_536

    headers = {**rights, "content-type": "application/json"}
    with contextlib.suppress(httpx2.WriteError):  # it may have hung up already
        assert guarded.http.post("/translate", content=endless(), headers=headers).status_code == 413
    assert guarded.http.get("/health/live").status_code == 200


@pytest.mark.slow
def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    import socket

    with living(Gateway(tmp_path, models=[NullModel()], limits=Limits(body_time=0.3))) as live:
        host, port = live.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
            assert b"408" in line.recv(100)


@pytest.mark.slow
def test_the_page_is_served_with_its_policy_and_no_path_leads_out(tmp_path: Path) -> None:
    page = tmp_path / "page"
    (page / "js").mkdir(parents=True)
    (page / "index.html").write_text("<h1>hello</h1>", encoding="utf-8")
    (page / "js" / "app.js").write_text("1", encoding="utf-8")
    with living(Gateway(tmp_path / "state", models=[NullModel()], page=page, must_have_key=True)) as live:
        answer = live.http.get("/")
        assert (answer.text, answer.headers["content-type"]) == ("<h1>hello</h1>", "text/html; charset=utf-8")
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert live.http.get("/page/js/app.js").text == "1"
        for path in (
            "/page/../state/pepper",
            "/page/%2e%2e/state/pepper",
            "/page//etc/passwd",
            "/page/js/../../state/pepper",
        ):
            assert live.http.get(path).status_code == 404
