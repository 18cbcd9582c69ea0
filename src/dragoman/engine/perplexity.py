"""How well a model predicts monolingual text that no phase of its run has trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.core.prompt import tasks
from dragoman.core.recipe import Recipe
from dragoman.engine.batch import Corpus, collate, plan_epoch
from dragoman.engine.encoder import Encoder
from dragoman.engine.general_text import monolingual
from dragoman.engine.loop import mean_loss
from dragoman.engine.losses import cross_entropy

if TYPE_CHECKING:
    from dragoman.engine.load import Loaded

_BATCH = 8192  # tokens of a forward pass


def held_out_perplexity(recipe: Recipe, loaded: Loaded, texts: Path) -> dict[str, dict[str, Any]]:
    """Per language of the recipe: the held-out texts, their tokens and bytes, the perplexity per token, and bits per byte.

    Bits per byte do not depend on the tokenizer, so that models with different ones can be compared. Held out is what
    `core.corpus.heldout` says of the prepared monolingual text: the same texts that a hybrid phase never trains on.
    """
    encoder = Encoder(loaded.tokenizer, loaded.card.prompt)
    limit = loaded.context
    found = {}
    for language, part in monolingual(texts).items():
        if language not in recipe.languages or not part.held_out:
            continue
        rows = list(tasks.lm(encoder.form, part.held_out, limit, encoder.lengths))
        corpus, _ = Corpus.build(encoder, ((row.rendered, 1.0) for row in rows), limit)
        batches = [collate(corpus, bins, loaded.pad) for bins in plan_epoch(corpus, 0, 0, _BATCH, "sorted")]
        tokens = sum(batch.target_tokens for batch in batches)
        nats = mean_loss(loaded.model, batches, cross_entropy()) * tokens
        size = sum(len(text.text.encode()) for text in part.held_out)
        found[language] = {
            "texts": len(part.held_out),
            "tokens": tokens,
            "bytes": size,
            "perplexity": round(math.exp(nats / tokens), 4),
            "bits_per_byte": round(nats / math.log(2) / size, 5),
        }
    return found
