"""A guard model in a process of its own: `python -m dragoman.backends.guard FOLDER`, which `store.guard` starts and speaks to.

It says `{"ready": true}`, then answers each line of JSON, `{"number", "messages"}`, with another, `{"number", "answer"}`. The
model's own chat template asks the guard's question. It ends with its input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_TOKENS = 64


def main() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lines, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], **known)
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto", use_safetensors=True, **known).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    print(json.dumps({"ready": True}), file=lines, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        ids = tokenizer.apply_chat_template(
            asked["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        with torch.inference_mode():
            made = model.generate(**ids, max_new_tokens=_TOKENS, do_sample=False)
        answer = tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        print(json.dumps({"number": asked["number"], "answer": answer}), file=lines, flush=True)


if __name__ == "__main__":
    main()
