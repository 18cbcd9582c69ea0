"""Tokenizers of several families: a user's text is never a control token, the end that a template writes is trained."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dragoman.core.prompt.prompts import FORMATS, render
from dragoman.core.text.languages import Direction
from dragoman.engine.encoder import Encoder
from dragoman.engine.load import Card, Loaded
from dragoman.translator import Translator
from tests.tiny import TEXT, tiny_model

EN_DE = Direction("en", "de")
MALTESE = ["Ċerta ċavetta", "il-kelb ra ċ-ċavetta."]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# as Qwen 3 writes it: without thinking the thought is there, and empty
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}<think>\n\n"
    "</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ALWAYS_THINKING = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}"
    " {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
FAMILIES = {"chatml": CHATML, "thinking": THINKING, "always": ALWAYS_THINKING, "gemma": GEMMA, "mistral": MISTRAL}
CONTROLS = ["<|im_start|>", "<|im_end|>", "<think>", "<start_of_turn>", "<end_of_turn>", "<repo_name>", "[INST]"]
ODD = ["[multimodal]", "<start_of_image>", "<bbox>", "</bbox>", "<tool_call>", "<｜tool｜>"]  # not marked as special
TAGS = ["<b>", "</b>", "<td>", "<h1>"]  # one token each, too, and text


@cache
def tokenizer(family: str, byte_level: bool) -> Any:
    bpe = Tokenizer(models.BPE(byte_fallback=not byte_level, unk_token=None if byte_level else "<unk>"))
    if byte_level:
        bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:  # as sentencepiece does it
        bpe.normalizer = normalizers.Replace(" ", "▁")
        bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        alphabet = []
    special = ["<pad>", "<s>", "</s>", "<unk>", *([] if byte_level else [f"<0x{n:02X}>" for n in range(256)])]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=sorted(alphabet), show_progress=False
    )
    bpe.train_from_iterator([*TEXT * 3, *MALTESE * 9, "a b c d e f _ < > [ ] | / 0 1"], trainer)
    if not byte_level:  # a token that spells a byte is no control token
        raw = bpe.to_str()
        import json

        data = json.loads(raw)
        data["added_tokens"] = [t for t in data["added_tokens"] if not t["content"].startswith("<0x")]
        bpe = Tokenizer.from_str(json.dumps(data))
    bpe.add_special_tokens([AddedToken(token, special=True) for token in CONTROLS])
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in [*ODD, *TAGS]])
    found = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    found.chat_template = FAMILIES[family]
    return found


@cache
def encoder_of(family: str, byte_level: bool, form: str) -> Encoder:
    return Encoder(tokenizer(family, byte_level), FORMATS[form])


CASES = [(family, byte_level) for family in FAMILIES for byte_level in (True, False)]
TEXTS = st.lists(
    st.one_of(st.text("abc <>_|[]/", max_size=6), st.sampled_from([*CONTROLS, *ODD, *TAGS, "<pad>", "</s>", "<s>"])),
    max_size=6,
).map("".join)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "byte_level"), CASES)
@pytest.mark.parametrize("form", ["chat", "hunyuan", "adaptive", "alma"])
@given(text=TEXTS)
def test_a_text_is_never_a_control_token_and_stays_as_it_is(
    family: str, byte_level: bool, form: str, text: str
) -> None:
    found, encoder = tokenizer(family, byte_level), encoder_of(family, byte_level, form)
    plain, ours = (
        encoder.encode([render(FORMATS[form], EN_DE, source, "der Hund")])[0]
        for source in ("the dog", f"the dog{text}")
    )
    control = {found.convert_tokens_to_ids(token) for token in [*encoder.controls, *ODD]}
    assert [i for i in ours[0] if i in control] == [i for i in plain[0] if i in control]
    shown = found.decode(ours[0], skip_special_tokens=False)
    assert f"the dog{text}".strip() in shown
    assert sum(ours[1]) == sum(plain[1])


@pytest.mark.parametrize("form", ["chat", "adaptive"])
@pytest.mark.parametrize("tag", TAGS)
def test_tags_of_html_stay_the_tokens_they_are(tag: str, form: str) -> None:
    found = tokenizer("gemma", False)
    encoder = Encoder(found, FORMATS[form])
    for text in (f"the {tag}dog", f"the {tag}dog<bbox>"):
        ids = encoder.encode([render(FORMATS[form], EN_DE, text)])[0][0]
        assert ids.count(found.convert_tokens_to_ids(tag)) == 1


BLANKS = st.text(" \n\t", max_size=3)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "byte_level"), CASES)
@pytest.mark.parametrize("form", ["chat", "hunyuan"])
@given(
    before=BLANKS,
    after=BLANKS,
    token=st.sampled_from([*CONTROLS, *ODD, "\ue000", "\ue0000\ue001"]),
    place=st.booleans(),
)
def test_a_template_sees_the_blanks_around_a_control_token(
    family: str, byte_level: bool, form: str, before: str, after: str, token: str, place: bool
) -> None:
    found, encoder = tokenizer(family, byte_level), encoder_of(family, byte_level, form)

    def shown(word: str) -> str:
        text = f"{before}dog {word}{after}" if place else f"{before}{word}{after}"
        rendered = render(FORMATS[form], EN_DE, text, shots=[(text, text)])
        return found.decode(encoder.encode([rendered])[0][0], skip_special_tokens=False)

    assert shown(token) == shown("QQQ").replace("QQQ", token)


@pytest.mark.parametrize(("family", "byte_level"), CASES)
def test_training_and_asking_are_what_the_template_writes(family: str, byte_level: bool) -> None:
    found = tokenizer(family, byte_level)
    form = FORMATS["chat"]
    encoder = Encoder(found, form)
    trained, asked = (render(form, EN_DE, "the dog", target) for target in ("der Hund", None))
    turns = [{"role": turn.role, "content": turn.text} for turn in trained.turns]
    ids, mask = encoder.encode([trained])[0]
    head = encoder.encode([asked])[0][0]
    assert ids[: len(head)] == head
    assert mask == [False] * len(head) + [True] * (len(ids) - len(head))
    answer = [{"role": "assistant", "content": "der Hund"}]
    whole = found.apply_chat_template([*turns, *answer], tokenize=False, enable_thinking=False)
    if family == "always":  # its template writes no thought where there is none, and asks for one all the same
        assert found.decode(ids).endswith("<think>\n\n</think>\n\nder Hund<|im_end|>")
    else:
        assert whole.rstrip("\n").replace(" ", "") == found.decode(ids).replace(" ", "")
    end = {"gemma": "<end_of_turn>", "mistral": "</s>"}.get(family, "<|im_end|>")
    assert found.convert_ids_to_tokens(ids[-1]) == end
    assert encoder.end == ids[-1]


@pytest.mark.parametrize("byte_level", [True, False])
def test_only_what_decodes_to_a_line_break_ends_a_translation(byte_level: bool) -> None:
    """`Ċ` spells a line break in byte-level tokenizers; elsewhere it is a letter of Maltese."""
    found = tokenizer("chatml", byte_level)
    loaded = Loaded(tiny_model(len(found)), found, Card(FORMATS["adaptive"], ("en-mt",)))
    translator = Translator(loaded)
    letters = [i for token, i in found.get_vocab().items() if "Ċ" in token and "\n" not in found.decode([i])]
    assert bool(letters) != byte_level
    assert not set(letters) & set(translator._ends)
    assert all("\n" in found.decode([i]) for i in translator._breaks)
    assert set(translator._breaks) <= set(translator._ends)
    assert found("\n", add_special_tokens=False).input_ids[-1] in translator._ends


@pytest.mark.parametrize("beam", [1, 3])
def test_no_translation_begins_with_a_line_break(beam: int) -> None:
    import torch

    from dragoman.engine.generate import generate

    model = tiny_model(50)
    ends = [2, 7]
    with torch.no_grad():
        first = model(torch.tensor([[1, 20, 30]])).logits[0, -1].argmax().item()
    made = generate(model, [[1, 20, 30]], [3], ends=[*ends, first], not_first=[first], pad=0, beam=beam)
    assert made[0].tokens > 1 or made[0].ids
