"""A model on this machine and a run of ours as teachers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.core.corpus.synthesis import Request
from dragoman.core.prompt.prompts import Turn
from dragoman.core.prompt.synthesis_prompts import translate
from dragoman.core.recipe import Recipe
from dragoman.core.recipe.synthesise import LocalTeacher, RunTeacher, Teacher
from dragoman.errors import ModelError, RecipeError
from dragoman.teachers import open_teacher
from dragoman.teachers.answers import Answers
from dragoman.teachers.local import Local
from dragoman.teachers.runs import Run
from tests.teachers import toy
from tests.tiny import tiny

RECIPE = Recipe.parse("pairs: [en-de]\nmodel: {new: {}}\nplan: {threads: 1}")


def ask(text: str, **fields: object) -> Request:
    return Request((Turn("user", text),), **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    tiny(folder, form="chat")
    return folder


def test_a_local_model_answers_in_its_chat_template_and_is_asked_once(
    chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask("the cat"), ask("the dog sees"), ask("the cat")]
    settings = LocalTeacher(model=str(chat), answer_tokens=6)
    with Answers(tmp_path / "a") as answers:
        heard: list[int] = []
        first = Local("m", settings, RECIPE, answers).ask(requests, heard.append)
        assert first[0] == first[2] and heard[-1] == 2
        assert all(reply.failure in ("", "unfinished") and reply.log_probability is not None for reply in first)
        monkeypatch.setattr("dragoman.teachers.local._Writer", None)  # nothing is loaded for answers that are known
        assert Local("m", settings, RECIPE, answers).ask(requests, heard.append) == first


def test_sampling_follows_the_seed(chat: Path, tmp_path: Path) -> None:
    settings = LocalTeacher(model=str(chat), answer_tokens=8)

    def texts(name: str, seed: int) -> list[str]:
        with Answers(tmp_path / name) as answers:
            asked = [ask(word, temperature=1.5, seed=seed) for word in ("the cat", "the dog", "a house")]
            return [reply.text for reply in Local("m", settings, RECIPE, answers).ask(asked, lambda done: None)]

    assert texts("a", 1) == texts("b", 1) != texts("c", 2)


def test_a_request_that_does_not_fit_is_one_row_lost(chat: Path, tmp_path: Path) -> None:
    with Answers(tmp_path / "a") as answers:
        local = Local("m", LocalTeacher(model=str(chat), answer_tokens=5), RECIPE, answers)
        long, short = local.ask([ask("the cat sees " * 60), ask("the cat")], lambda done: None)
    assert long.failure == "too_long" and "of 128 tokens" in long.detail and short.failure in ("", "unfinished")


def test_a_base_without_a_chat_template_is_asked_in_plain_text(tmp_path: Path) -> None:
    tiny(tmp_path / "m")
    with Answers(tmp_path / "a") as answers:
        settings = LocalTeacher(model=str(tmp_path / "m"), answer_tokens=4)
        [reply] = Local("m", settings, RECIPE, answers).ask([ask("the cat")], lambda done: None)
    assert reply.failure in ("", "unfinished")


def test_a_run_of_ours_translates_and_does_nothing_else(toy_model: Path, tmp_path: Path) -> None:
    pairs = toy.pairs()[:5]
    there = [Request(translate(s, toy.EN_DE), s, toy.EN_DE) for s, _ in pairs]
    back = [Request(translate(t, toy.EN_DE.reversed), t, toy.EN_DE.reversed) for _, t in pairs]
    with Answers(tmp_path / "a") as answers:
        run = Run("r", RunTeacher(folder=str(toy_model)), RECIPE, answers)
        replies = run.ask([*there, *back], lambda done: None)
        assert [reply.text for reply in replies] == [t for _, t in pairs] + [s for s, _ in pairs]
        assert all(reply.log_probability is not None and reply.log_probability > -0.5 for reply in replies)
        assert answers.known([reply.digest for reply in replies]).keys() == {reply.digest for reply in replies}
        with pytest.raises(ModelError, match="can only translate"):
            run.ask([ask("Write a poem.")], lambda done: None)
        from dragoman.core.text.languages import Direction

        with pytest.raises(ModelError, match="not made for en-fr; it translates en-de, de-en"):
            run.ask([Request((), "the cat", Direction("en", "fr"))], lambda done: None)


def test_teachers_are_opened_by_their_section(toy_model: Path, chat: Path, tmp_path: Path) -> None:
    from dragoman.teachers.api import Api

    sections = {
        Run: {"run": str(toy_model)},
        Local: {"local": str(chat)},
        Api: {"api": {"url": "http://127.0.0.1:9/v1", "model": "x"}},
    }
    with Answers(tmp_path / "a") as answers:
        for kind, section in sections.items():
            teacher = open_teacher("t", Teacher.model_validate(section), RECIPE, answers)
            assert isinstance(teacher, kind)
        with pytest.raises(RecipeError, match=r"teachers.t.run: .*neither a finished run"):
            open_teacher("t", Teacher.model_validate({"run": str(tmp_path / "no")}), RECIPE, answers)
