"""Byte-level BPE tokenizer of the pair, and the packing of conversations into token rows.

python -m models.build.tokenizer train  --corpus build/corpus --data build/data
python -m models.build.tokenizer encode --corpus build/corpus --data build/data
python -m models.build.tokenizer check  --corpus build/corpus --data build/data --gguf FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .chat import END_OF_TEXT, IM_END, IM_START, SPECIALS, Conversation, read_conversations, render

VOCAB_SIZE = 4096
HELDOUT_LENGTH = 512
UNUSUAL_TEXTS = [
    "naïve café — “quoted” … ½ € £ ¥ ©",
    "emoji 😀👩‍💻🇩🇪👍🏽 and text😀joined",
    "日本語のテキスト 中文 한국어 العربية עברית हिन्दी",
    "tabs\tand\n\nblank  lines   \n  trailing   ",
    "I'm you're we'll they'd it's DON'T 3.14e-10 0xFF a_b__c",
    "",
    " ",
    "\n\n\n",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
]


def train(texts: Iterable[str]) -> Tokenizer:
    """Return a GPT-2 style tokenizer: its regular expression, all 256 bytes, specials first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, messages: Conversation) -> tuple[list[int], list[int]]:
    """Return the tokens of a conversation and a mask that is 1 on what the assistant writes."""
    ids: list[int] = []
    mask: list[int] = []
    for message in messages:
        head = tokenizer.encode(f"{IM_START}{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}{IM_END}").ids
        tail = tokenizer.encode("\n").ids
        learned = int(message["role"] == "assistant")
        ids += head + body + tail
        mask += [0] * len(head) + [learned] * len(body) + [0] * len(tail)
    return ids, mask


def pack(
    tokenizer: Tokenizer, conversations: Iterable[Conversation], length: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return rows of tokens and masks; each row starts with a whole conversation."""
    (end,) = tokenizer.encode(END_OF_TEXT).ids
    rows: list[list[int]] = []
    masks: list[list[int]] = []
    ids: list[int] = []
    mask: list[int] = []
    for messages in conversations:
        new_ids, new_mask = encode(tokenizer, messages)
        ids += [*new_ids, end]
        mask += [*new_mask, 0]
        if len(ids) >= length:
            rows.append(ids[:length])
            masks.append(mask[:length])
            ids, mask = [], []
    return np.array(rows, dtype=np.uint16), np.array(masks, dtype=np.uint8)


def count_differences(tokenizer: Tokenizer, gguf: Path, texts: list[str]) -> int:
    """Return on how many texts llama.cpp and ``tokenizers`` disagree."""
    from llama_cpp import Llama

    llm = Llama(str(gguf), vocab_only=True, verbose=False)
    wrong = 0
    for text in texts:
        theirs = llm.tokenize(text.encode(), add_bos=False, special=True)
        back = llm.detokenize(theirs, special=True).decode()
        if tokenizer.encode(text).ids != theirs or back != text:
            wrong += 1
            print("differs:", repr(text[:80]))
    return wrong


def encode_splits(tokenizer: Tokenizer, corpus: Path, data: Path, lengths: list[int]) -> None:
    """Write the held-out split and, for every row length, the training split as arrays."""
    for split, length in [("heldout", HELDOUT_LENGTH), *(("train", n) for n in lengths)]:
        rows, masks = pack(tokenizer, read_conversations(corpus / f"{split}.jsonl"), length)
        name = f"{split}-{length}" if split == "train" else split
        np.savez(data / f"{name}.npz", tokens=rows, mask=masks)
        print(f"{name}: {rows.size:,} tokens, {masks.mean():.0%} written by the assistant")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("train", "encode", "check"))
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024], help="row lengths")
    args = parser.parse_args()
    args.data.mkdir(parents=True, exist_ok=True)
    path = args.data / "tokenizer.json"
    if args.command == "train":
        conversations = read_conversations(args.corpus / "train.jsonl")
        train(m["content"] for c in conversations for m in c).save(str(path))
    elif args.command == "encode":
        encode_splits(Tokenizer.from_file(str(path)), args.corpus, args.data, args.lengths)
    else:
        conversations = islice(read_conversations(args.corpus / "heldout.jsonl"), 500)
        texts = [render(c) for c in conversations] + UNUSUAL_TEXTS
        wrong = count_differences(Tokenizer.from_file(str(path)), args.gguf, texts)
        print(f"{len(texts)} texts, {wrong} differ")
        raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
