"""What a recipe names and a run would miss, found before any of its work: files, bases, teachers, memories, glossaries."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dragoman.core.recipe import Recipe
from dragoman.errors import CheckpointError, DataError, ModelError
from dragoman.store.files import is_url
from dragoman.store.run.artifact import MANIFEST, model_folder
from dragoman.store.run.hub import is_hub_id, looked_up

_MADE = frozenset({"prepare", "model", "synthesise", "train", "memory"})  # folders of a run that stages write into


def require(recipe: Recipe, stages: Collection[str], out: Path) -> None:
    """Raise DataError (ModelError where it is the base alone) with everything that `stages` would read and that is not there,
    each with its place in the recipe. What lies in the run's own folder may be made by an earlier stage.

    Databases and URLs are not looked up, a hub id only where the run has no base yet.
    """
    base = _base(recipe, out) if "model" in stages else ""
    missing = [f"{key}: {why}" for key, path in _named(recipe, stages) if (why := _lack(path, recipe, out))]
    missing += _teachers(recipe) if "synthesise" in stages else []
    missing += _models(recipe, out) if {"plan", "train"} & set(stages) else []
    if missing:
        raise DataError("\n".join([*missing, *([base] if base else [])]))
    if base:
        raise ModelError(base)


def _named(recipe: Recipe, stages: Collection[str]) -> Iterator[tuple[str, str]]:
    """(key in the recipe, path) of the files that the stages read."""
    if "prepare" in stages and recipe.prepare is not None:
        for number, source in enumerate(recipe.prepare.parallel):
            yield f"prepare.parallel.{number}", source.path
        for language, texts in recipe.prepare.monolingual.items():
            yield from ((f"prepare.monolingual.{language}.{number}", text.path) for number, text in enumerate(texts))
    if {"plan", "train"} & set(stages):
        for number, phase in enumerate(recipe.train):
            yield from ((f"train.{number}", file) for file in phase.section.files)
            _, memory, glossary = phase.section.looks_into or ((), None, None)
            yield from ((f"train.{number}", use.path) for use in (memory, glossary) if use is not None and use.path)
    if "evaluate" in stages and (wanted := recipe.evaluate) is not None:
        yield from ((f"evaluate.files.{number}", source.path) for number, source in enumerate(wanted.files))
        for number, system in enumerate(wanted.outside):
            yield from ((f"evaluate.outside.{number}", file) for file in system.outputs.values())
        used = [wanted.memory.path, wanted.glossary.path if wanted.glossary is not None else None]
        yield from (("evaluate", path) for path in used if path)


def _lack(path: str, recipe: Recipe, out: Path) -> str:
    """Why a path cannot be read, or nothing."""
    from dragoman.store.formats import readers
    from dragoman.store.formats.readers import locations

    if found := re.match(r"sqlite(?:\+\w+)?:///(.+)", locations.resolve(path, recipe)):
        return "" if Path(found[1]).is_file() or found[1] == ":memory:" else f"{path}: no such file."
    location = recipe.resolve(path)
    if path.startswith("hf:") or is_url(location) or _is_made(Path(location).resolve(), out.resolve()):
        return ""
    if Path(location).exists() and not Path(location).is_dir():
        return ""
    try:
        readers.files_of(path, recipe)
    except DataError as error:
        return str(error)
    return ""


def _is_made(path: Path, out: Path) -> bool:
    """Whether it lies where a stage of the run writes."""
    return path.is_relative_to(out) and bool({*path.relative_to(out).parts[:1]} & _MADE)


def _base(recipe: Recipe, out: Path) -> str:
    """Why the base cannot be had, or nothing."""
    section = recipe.model
    if section is None or section.base is None:
        return ""
    local = Path(recipe.resolve(section.base))
    if local.is_file():
        return ""
    try:
        if local.is_dir():
            model_folder(local)
        elif not is_hub_id(section.base):
            return f"model.base: there is no folder or GGUF file {local}. A hub id has the form owner/name."
        elif not (out / "model" / MANIFEST).is_file():
            looked_up(section.base, section.revision)
    except (CheckpointError, ModelError) as error:
        return f"model.base: {error}"
    return ""


def _models(recipe: Recipe, out: Path) -> list[str]:
    """The models that phases read besides their base and that are not there."""
    found = []
    for number, phase in enumerate(recipe.train):
        for name in phase.section.model_folders:
            folder = Path(recipe.resolve(name))
            own = folder.resolve().is_relative_to((out / "train").resolve())
            if _is_made(folder.resolve(), out.resolve()) and not own:
                continue
            try:
                model_folder(folder)
            except CheckpointError as error:
                why = (
                    f"{name}: `plan` loads it before this run has trained it. Give it a run of its own."
                    if own
                    else error
                )
                found.append(f"train.{number}.{phase.kind}: {why}")
    return found


def _teachers(recipe: Recipe) -> list[str]:
    """The teachers that are models of this machine and are not there."""
    teachers = recipe.synthesise.teachers if recipe.synthesise is not None else {}
    found = []
    for name, teacher in teachers.items():
        if teacher.run is not None and not (folder := Path(recipe.resolve(teacher.run.folder))).is_dir():
            found.append(f"synthesise.teachers.{name}: there is no run {folder}.")
        if teacher.local is not None:
            local = Path(recipe.resolve(teacher.local.model))
            if not local.exists() and not is_hub_id(teacher.local.model):
                found.append(f"synthesise.teachers.{name}: there is no model {local}.")
    return found
