"""Guard models are judges at best: late, absent or talking nonsense they decide nothing, and that is counted."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.answers import Answer
from dragoman.core.recipe import Guard
from dragoman.core.recipe import Screen as Policy
from dragoman.core.text.languages import Direction
from dragoman.store.guard import Judge, llama_guard, qwen3guard
from dragoman.store.run.screen import Screen

EN_FR = Direction("en", "fr")


class Local(BaseHTTPRequestHandler):
    asked: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, body, self.headers.get("Authorization")))
        text = body["messages"][-1]["content"]
        if "slow" in text:
            time.sleep(0.6)
        answer = "unsafe\nS9" if "bomb" in text else "I would rather not say" if "nonsense" in text else "\n\nsafe"
        data = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
        if "broken" in text:
            data = b"{"
        try:
            self.send_response(500 if "fault" in text else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    Local.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Local) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "safe"),
    [
        ("safe", True),
        ("\n\nsafe", True),
        ("unsafe\nS1,S10", False),
        ("unsafe", False),
        ("safe\nS1", None),
        ("unsafe because", None),
        ("", None),
        ("I am safe", None),
    ],
)
def test_llama_guard(answer: str, safe: bool | None) -> None:
    assert llama_guard(answer) is safe


@pytest.mark.parametrize(
    ("answer", "safe"),
    [
        ("Safety: Safe\nCategories: None\nRefusal: Yes", True),
        ("Safety: Unsafe\nCategories: Violent", False),
        ("Safety: Controversial\nCategories: PII", True),
        ("Safety: perhaps", None),
        ("safe", None),
    ],
)
def test_qwen3guard(answer: str, safe: bool | None) -> None:
    assert qwen3guard(answer) is safe


def test_judgements_and_what_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD", "secret")
    judge = Judge(Guard(url=url, model="guard", key="env:GUARD", seconds=0.3))
    texts = ["hello", "a bomb", "nonsense", "broken", "fault", "slow"]
    assert judge.safe([[text] for text in texts]) == [True, False, None, None, None, None]
    assert judge.safe([["hello", "une bomb"]]) == [False]
    path, body, key = Local.asked[-1]
    assert (path, body["model"], key) == ("/v1/chat/completions", "guard", "Bearer secret")
    assert [one["role"] for one in body["messages"]] == ["user", "assistant"]
    judge.close()


def test_nobody_there() -> None:
    judge = Judge(Guard(url="http://127.0.0.1:9/v1", model="m", seconds=0.2))
    assert judge.safe([["a"]]) == [None]
    judge.close()


@pytest.mark.parametrize(("fail", "blocked"), [("open", ["", "guard", ""]), ("closed", ["", "guard", "guard"])])
def test_open_or_closed(url: str, fail: str, blocked: list[str]) -> None:
    policy = Policy.model_validate(
        {"language": "off", "guard": {"url": url, "model": "m", "request": "block", "fail": fail}}
    )
    screen = Screen(policy, ["en", "fr"])
    tally: Counter[tuple[str, str]] = Counter()
    found = screen.requests(["hello", "a bomb", "nonsense"], [EN_FR] * 3, tally)
    assert [one.blocked for one in found] == blocked
    assert tally == {("guard", "block"): 1, ("guard", "failed" if fail == "open" else "failed, blocked"): 1}
    screen.close()


def test_only_what_a_translation_adds_counts(url: str) -> None:
    policy = Policy.model_validate(
        {"language": "off", "guard": {"url": url, "model": "m", "request": "off", "answer": "block"}}
    )
    screen = Screen(policy, ["en", "fr"])
    tally: Counter[tuple[str, str]] = Counter()
    sources = ["hello", "a bomb"]
    assert [one.blocked for one in screen.requests(sources, [EN_FR] * 2, tally)] == ["", ""]
    answers = [Answer(source, "une bomb", "model") for source in sources]
    assert [one.blocked for one in screen.answers(answers, sources, EN_FR, tally)] == ["guard_answer", ""]
    assert tally == {("guard_answer", "block"): 1}
    screen.close()


def guard_model(folder: Path) -> Path:
    """A tiny model that has learned to call a text with `bomb` unsafe, and one with `muddle` nothing that a guard says."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<end>", "<user>", "<assistant>", "safe", "unsafe", "hello", "bomb", "muddle", "perhaps"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="hello"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    fast.chat_template = "<user> {% for one in messages %}{{ one.content }} {% endfor %}<assistant>"
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
            eos_token_id=0, pad_token_id=0, bos_token_id=None,
        )
    )  # fmt: skip
    asked = {"hello": "safe", "bomb": "unsafe", "muddle": "perhaps", "hello bomb": "unsafe", "hello hello": "safe"}
    rows = [
        fast(f"<user> {text} <assistant> {said} <end>", return_tensors="pt").input_ids for text, said in asked.items()
    ]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        for row in rows:
            optimiser.zero_grad()
            model(input_ids=row, labels=row).loss.backward()
            optimiser.step()
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_guard_in_a_folder(tmp_path: Path) -> None:
    judge = Judge(Guard(folder=str(guard_model(tmp_path / "guard")), seconds=60))
    assert judge.safe([["hello"], ["bomb"], ["muddle"], ["hello", "bomb"]]) == [True, False, None, False]
    judge.close()
    assert judge._ask._process.returncode is not None  # type: ignore[union-attr]


@pytest.mark.long
def test_a_folder_that_holds_no_model_decides_nothing(tmp_path: Path) -> None:
    judge = Judge(Guard(folder=str(tmp_path), seconds=5))
    assert judge.safe([["hello"]]) == [None]
    assert judge.safe([["hello"]]) == [None]  # its process ended, and is started again
    judge.close()


@pytest.mark.parametrize("keys", [{}, {"url": "http://a", "model": "m", "folder": "b"}, {"folder": "b", "model": "m"}])
def test_a_guard_is_in_one_place(keys: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="folder"):
        Guard(**keys)  # type: ignore[arg-type]
