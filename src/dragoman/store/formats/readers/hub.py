"""Data sets of the Hugging Face hub or of a local folder, and SQL data bases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dragoman.core.recipe import ParallelSource, Recipe, TextSource
from dragoman.core.records import Example, Rejected, Text
from dragoman.errors import DataError
from dragoman.store.files import shown
from dragoman.store.formats.readers.columns import Fields, Wanted
from dragoman.store.formats.readers.locations import Place

_BATCH = 1000  # rows fetched at once


def read_data_set(
    place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str
) -> Iterator[Example | Text | Rejected]:
    """The rows of `hf:ID`, `hf:folder`, or a folder that `datasets` has saved; streamed. Needs dragoman[datasets]."""
    place = Place(place.location.removeprefix("hf:"), place.name)
    fields = Fields(Wanted.of(place, source, recipe, language))
    number = 0
    try:
        for number, record in enumerate(_data_set(place, source), 1):
            yield fields.row(number, record)
    except DataError:
        raise
    except Exception as error:  # the library, its loaders and its network code have many
        where = f" after row {number}" if number else ""
        raise DataError(f"{place.name}: the data set cannot be read{where} ({error}).") from None


def _data_set(place: Place, source: ParallelSource | TextSource) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{place.name}: reading data sets needs the package `datasets`: pip install 'dragoman[datasets]'."
        ) from None
    folder = Path(place.location)
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        found = datasets.load_from_disk(str(folder))
        if not isinstance(found, Mapping):
            return found
        if source.partition not in found:
            raise DataError(
                f"{place.name}: has no partition '{source.partition}' but {', '.join(found)}. Set `partition:`."
            )
        return found[source.partition]
    return datasets.load_dataset(place.location, source.subset, split=source.partition, streaming=True)


def read_query(
    place: Place, source: ParallelSource | TextSource, recipe: Recipe, language: str
) -> Iterator[Example | Text | Rejected]:
    """The rows of an SQL query. Needs the data base's driver."""
    place = Place(place.location, shown(place.name))
    fields = Fields(Wanted.of(place, source, recipe, language))
    if not source.query:
        raise DataError(f"{place.name}: a data base needs a `query:`, such as SELECT source, target FROM segments.")
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    number = 0
    try:
        engine = sqlalchemy.create_engine(place.location)
        try:
            with engine.connect().execution_options(yield_per=_BATCH) as connection:
                for number, record in enumerate(connection.execute(sqlalchemy.text(source.query)).mappings(), 1):
                    yield fields.row(number, record)
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        where = f" after row {number}" if number else ""
        what = str(error).replace(place.location, place.name).split("\n")[0]
        raise DataError(f"{place.name}: the query fails{where} ({what}).") from None
