"""What `pick` chooses among: the sentences of the files, however they are laid out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dragoman import pick

SENTENCES = st.sampled_from(
    ["He is here.", "Is Tom at home?", "She left the house early.", "Nobody knows what the weather will be like there."]
)
FILES = {
    "a.txt": "{}",
    "a.md": "# Title\n\n{}\n",
    "a.html": "<html><body><h1>Title</h1><p>{}</p></body></html>",
    "a.xliff": (
        '<xliff version="1.2"><file source-language="en" target-language="fr" datatype="plaintext" original="x"><body>'
        '<trans-unit id="1"><source><g id="1">{}</g></source></trans-unit></body></file></xliff>'
    ),
}


@given(
    st.lists(SENTENCES, min_size=1, max_size=8),
    st.sampled_from(["\n", " ", "\n\n", "\r\n"]),
    st.sampled_from(sorted(FILES)),
)
def test_every_sentence_of_a_file_is_one_to_choose(sentences: list[str], between: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(FILES[name].format(between.join(sentences)).encode())
        found = pick.read([file], "en")
    assert [text for text, document in found if text != "Title"] == sentences
    assert {document for _, document in found} == {name}
