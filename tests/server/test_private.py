"""Translating in the browser: the prompts and translations of the server, and no text on its way to anybody."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.backends import open_files
from dragoman.core.prompt.prompts import FORMATS, render
from dragoman.core.recipe import Normalise
from dragoman.core.text.languages import Direction
from dragoman.core.text.normalise import normalise
from dragoman.engine import gguf_export, load
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Card, Loaded
from dragoman.errors import DragomanError
from dragoman.server.gateway import Gateway, NullModel
from dragoman.server.private import Weights, weights_of
from dragoman.stages.deploy import contents
from dragoman.store import engines
from dragoman.store.run.aliases import target
from dragoman.store.run.bundle import Bundle
from dragoman.translator import Translator
from tests.engine.test_gguf_export import sentencepiece_tokenizer
from tests.server.browser import opened, wait
from tests.server.living import Live, faulty, living
from tests.tiny import tiny, tiny_model

EN_DE = Direction("en", "de")
TEXTS = [
    "the cat sees the dog.",
    "x </s> <|de|><s> y <|im_end|>\n<|im_start|>assistant",
    "<|im_start|><think> <image> [multimodal]x",
    "x\ue000 0\ue001 \ue1000",
    "cafe\u0301 \u1e9b\u0323 \ufb01 \u1100\u1161 e\u0301\u0323",
    "  two  blanks \t and\u00a0\u00a0no-break\u202f; \u3000wide\u2003",
    "\u200e\u00a0 first \u00a0\u200f",
    "👩\u200d👩\u200d👧 ❤\ufe0f🏳\ufe0f\u200d🌈 a\u200db \U0001f600\u200d",
    "می\u200cخواهم שָׁלוֹם العربية \u202bRTL\u202c हिन्दी क्\u200dष",
    "zero\u200bwidth soft\u00adhyphen \ufeffBOM\x07\x85\x1c\u2028",
    "日本語 {src} {{ y }} %s $1 \\n",
    "1234567 12,5 % MORE'S it's",
]
ODD_TOKENS = ["<think>", "<image>", "[multimodal]"]


@pytest.fixture(scope="module")
def wllama() -> Iterator[None]:
    """The engine, fetched once. Skips, with a warning, where it cannot be had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(engines.FOLDER, str(Path(tempfile.gettempdir()) / "dragoman-engines"))
        try:
            engines.install("wllama")
        except DragomanError as error:
            told = f"NO WLLAMA: {error} Translating in the browser is NOT tested."
            warnings.filterwarnings("default", message="NO WLLAMA")
            warnings.warn(told, stacklevel=2)
            pytest.skip(told)
        yield


def bundle(loaded: Loaded, folder: Path, *formats: str) -> Path:
    """What `deploy` makes of a model, without its trials."""
    load.save(folder / "run", loaded)
    out = folder / "bundle"
    contents.write_shell(folder / "run", out)
    load.save(out / "hf", loaded)
    for form in formats:
        gguf_export.export(loaded, out / form, form.partition("-")[2])
    facts = {"key": folder.name, "help": {"shots": 0, "terms": False}, "directions": list(loaded.card.directions)}
    Bundle.finish(out, "hf", {form: {} for form in ("hf", *formats)}, facts)
    return out


def models() -> dict[str, Loaded]:
    """Of each kind of prompt and tokenizer."""
    found = {"compact": tiny(), "chat": tiny(form="chat", seed=1), "hunyuan": tiny(form="hunyuan", seed=2)}
    for one in found.values():
        one.tokenizer.add_tokens(ODD_TOKENS)
        one.model.resize_token_embeddings(len(one.tokenizer), mean_resizing=False)
    pieces = sentencepiece_tokenizer(before=False)
    card = Card(FORMATS["alma"], ("en-de", "de-en"), base="new", normalise=Normalise(unicode="NFKC"))
    found["alma"] = Loaded(tiny_model(len(pieces), seed=3).eval(), pieces, card)
    for one in found.values():
        one.model.config.max_position_embeddings = 512  # a character is a token or more, for them
    return found


@pytest.fixture(scope="module")
def known(wllama: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Loaded, Path]]:
    """Models, and their bundles."""
    del wllama
    folder = tmp_path_factory.mktemp("private")
    return {name: (one, bundle(one, folder / name, "gguf-f32")) for name, one in models().items()}


@pytest.fixture(scope="module")
def served(known: dict[str, tuple[Loaded, Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server of one of them, and of a model that has no file."""
    given = [target(known["chat"][1], "chat"), NullModel()]
    with living(Gateway(tmp_path_factory.mktemp("state"), models=given, threads=1)) as live:
        yield live


RUN = """async (texts) => {
  const { ask } = await import("/page/api.js");
  const { prepare, translate } = await import("/page/private.js");
  await prepare((await ask("GET", "/api/status")).models[0], () => {});
  const found = [];
  for (const text of texts) found.push(await translate(text, "en", "de"));
  return found;
}"""


@pytest.mark.parametrize(
    "name", ["alma", *(pytest.param(one, marks=pytest.mark.long) for one in ("chat", "compact", "hunyuan"))]
)
def test_prompts_and_translations_are_those_of_the_server(
    browser: Any, served: Live, known: dict[str, tuple[Loaded, Path]], name: str
) -> None:
    loaded, out = known[name]
    own = Translator(open_files(loaded.shell, out / "gguf-f32", threads=1, measuring=True))
    with opened(browser, served.url) as one:
        page = one.open()
        if name != "chat":  # the server has that one; the others are told in its place
            told = {"model": name, "format": "gguf-f32", **own.outline()}
            page.route("**/api/private?*", lambda route: route.fulfill(json=told))
            page.route("**/api/private/weights?*", lambda route: route.fulfill(path=out / "gguf-f32" / "model.gguf"))
        found = page.evaluate(RUN, TEXTS)
    clean = [" ".join(normalise(text, loaded.card.normalise).split("\n")).strip() for text in TEXTS]
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    prompts = [ids for ids, _ in encoder.encode([render(loaded.card.prompt, EN_DE, text) for text in clean])]
    for text, prompt, made in zip(TEXTS, prompts, found, strict=True):
        assert made["prompt"] == prompt, text
    wanted = own.translate(TEXTS, EN_DE)
    assert sum(loaded.shell.text(made["ids"]) == one.text for one, made in zip(wanted, found, strict=True)) >= 6
    for made in found:
        assert "\ufffd" in made["text"] or made["text"] == loaded.shell.text(made["ids"])
        likeliest(own, made)


def likeliest(own: Translator, made: dict[str, Any]) -> None:
    """Each token of a translation is the likeliest: tokens of a model that was never trained are near to each other, and
    WASM's arithmetic is not torch's, so by 0.03 nats at most another one is likelier."""
    outline = own.outline()
    with torch.inference_mode():
        whole = own.loaded.model(torch.tensor([[*made["prompt"], *made["ids"]]])).logits[0]
    logits = whole[len(made["prompt"]) - 1 :].clone()
    logits[0, outline["not_first"]] = -torch.inf
    for row, token in zip(logits, made["ids"], strict=False):
        assert row.max() - row[token] < 0.03
        assert token not in outline["ends"]
    if made["finished"]:
        assert logits[-1].max() - logits[-1, outline["ends"]].max() < 0.03


@pytest.mark.slow
def test_no_request_has_anything_of_a_private_text(browser: Any, served: Live) -> None:
    live = served
    with opened(browser, live.url) as one:
        asked: list[tuple[str, str, str]] = []
        one.page.context.on("request", lambda r: asked.append((r.method, r.url, f"{r.post_data or ''} {r.headers}")))
        page = one.open()
        page.select_option("#from", "en")
        page.select_option("#to", "de")
        assert page.locator("#private-field").is_visible() and not page.is_checked("#private")
        page.check("#private")
        assert "stay in this browser" in page.inner_text("#private-note")
        page.fill("#text", "Canary one sees the dog. \n\n Another canary.")
        wait(page, "document.querySelector('#told').textContent.startsWith('In this browser: 2 sentences')")
        shown = page.inner_text("#out")
        assert shown.strip() and page.locator("#code-open").is_hidden() and page.locator(".sentence").count() == 0
        page.fill("#text", "Canary two.")
        wait(page, "document.querySelector('#told').textContent.startsWith('In this browser: 1 sentence')")
        page.select_option("#from", "auto")
        page.get_by_text("Choose the language of the text").wait_for()
        page.wait_for_timeout(500)
        paths = {url.removeprefix(live.url).partition("?")[0] for _, url, _ in asked if not url.startswith("blob:")}
        assert {"/api/private", "/api/private/weights", "/page/wllama/wllama.wasm"} <= paths
        assert not any(path.startswith("/api/segments") for path in paths)
        assert {method for method, _, _ in asked} == {"GET"}
        assert not [one for one in asked if "anary" in "".join(one)]
        page.uncheck("#private")  # and then it is asked again
        with page.expect_response("**/api/segments") as answer:
            page.fill("#text", "the dog.")
        assert answer.value.status == 200


REACH = """async () => {
  const found = [];
  for (const address of ["/api/status", "/", "/page/page.css"]) {
    try { await fetch(self.origin + address); found.push(address); } catch { /* refused */ }
  }
  try {
    const asked = new XMLHttpRequest();
    asked.open("GET", self.origin, false);
    asked.send();
    found.push("XMLHttpRequest");
  } catch { /* refused */ }
  return found;
}"""


@pytest.mark.slow
def test_the_worker_that_is_told_texts_can_ask_nobody(browser: Any, served: Live) -> None:
    live = served
    with opened(browser, live.url) as one:
        page = one.open()
        page.evaluate(RUN, ["the cat."])
        assert "XMLHttpRequest" in page.evaluate(REACH) and "/api/status" in page.evaluate(REACH)  # the page itself can
        workers = page.workers
        assert {worker.url.partition(":")[0] for worker in workers} == {
            "http",
            "blob",
        }  # ours, and the one that wllama makes
        for worker in workers:
            assert worker.evaluate(REACH) == [], worker.url
        one.faults.clear()  # the browser may complain of each
    policies = {
        path: live.http.get(path).headers["content-security-policy"] for path in ("/", "/page/private-worker.js")
    }
    assert "unsafe" not in policies["/"] and "blob:" not in policies["/"]
    assert "connect-src blob:;" in policies["/page/private-worker.js"]
    assert "'unsafe-eval'" not in policies["/page/private-worker.js"]


@pytest.mark.slow
def test_the_file_is_had_with_the_right_alone(
    served: Live, known: dict[str, tuple[Loaded, Path]], tmp_path: Path
) -> None:
    _, out = known["chat"]
    answer = served.http.get("/api/private/weights?model=chat")
    assert answer.content == (out / "gguf-f32" / "model.gguf").read_bytes()
    assert answer.headers["content-type"] == "application/octet-stream"
    refused = served.http.get("/api/private?model=null")
    assert refused.status_code == 404 and "the null engine has no model" in refused.json()["error"]["message"]
    gateway = Gateway(tmp_path, models=[target(out)], must_have_key=True, command=faulty())
    with living(gateway, ready=False) as guarded:

        async def create(*scopes: str) -> str:
            return gateway.keys.create("-".join(scopes), scopes)

        for scopes, status in ((("translate",), 403), (("weights",), 200)):
            headers = {"Authorization": f"Bearer {guarded.call(create(*scopes))}"}
            assert guarded.http.get("/api/private/weights", headers=headers).status_code == status


@pytest.mark.slow
def test_a_model_that_is_not_the_servers_is_not_translated_with(
    browser: Any, served: Live, known: dict[str, tuple[Loaded, Path]]
) -> None:
    """Prompts that come out otherwise, a file that is none, a file that was changed: told, and nothing is shown."""
    file = known["chat"][1] / "gguf-f32" / "model.gguf"
    other = served.json("GET", "/api/private?model=chat")
    other["directions"]["de-en"]["probes"][0][1][3] += 1
    whole = file.read_bytes()
    with opened(browser, served.url) as one:
        page = one.open()
        page.select_option("#from", "en")
        page.select_option("#to", "de")
        page.check("#private")
        try:  # before it is fetched for the first time: a browser keeps it
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            page.fill("#text", "the dog!")
            page.get_by_text("is not what was deployed").wait_for()
        finally:
            file.write_bytes(whole)
        page.route("**/api/private/weights?*", lambda route: route.fulfill(body=b"GGUF" + bytes(5000)))
        page.fill("#text", "the dogs.")
        wait(page, "!/Fetching|deployed/.test(document.querySelector('#told').textContent)")
        assert page.inner_text("#told") and not page.inner_text("#out")
        page.unroute("**/api/private/weights?*")
        page.route("**/api/private?*", lambda route: route.fulfill(json=other))
        page.fill("#text", "the dog.")
        page.get_by_text("this browser would write another prompt").wait_for()
        page.unroute("**/api/private?*")
        page.fill("#text", "the cat.")
        wait(page, "document.querySelector('#told').textContent.startsWith('In this browser: 1 sentence')")
        one.faults.clear()


def test_without_a_file_there_is_no_switch_and_the_reason_is_told(browser: Any, served: Live) -> None:
    with opened(browser, served.url) as one:
        page = one.open()
        page.check("#private")
        page.select_option("#model", index=1)
        assert page.locator("#private-field").is_hidden() and page.locator("#private-note").is_hidden()
        assert not page.is_checked("#private")
        page.evaluate("location.hash = '#/models'")
        page.get_by_text("no: the null engine has no model").wait_for()


def test_what_is_missing_is_named(
    known: dict[str, tuple[Loaded, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, out = known["compact"]
    found = weights_of(out)
    assert isinstance(found, Weights) and found.to_json() == {"format": "gguf-f32", "bytes": found.path.stat().st_size}
    assert "no GGUF format" in str(weights_of(bundle(loaded, tmp_path / "without")))
    assert "it is not deployed" in str(weights_of(out.parent / "run"))
    both = weights_of(bundle(loaded, tmp_path / "both", "gguf-f32", "gguf-q8_0"))
    assert isinstance(both, Weights) and both.format == "gguf-q8_0"  # the smaller one
    monkeypatch.setenv(engines.FOLDER, str(tmp_path / "none"))
    assert "dragoman engine install wllama" in str(weights_of(out))
