"""Give a GGUF model another vocabulary without changing what it says.

python -m models.build.retokenise --in models/demo-draft.gguf --out demo-draft-other.gguf

Every token gets another id, and the rows of embedding and output go with it. A share of the tokens,
3% unless told otherwise, is replaced by others that occur nowhere and never win: the rarest, as
vocabularies made from different texts agree on what is frequent. Text that held them is read as
their two parts. Used to measure what a draft with another vocabulary is worth against the same one
with the target's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .inflate import copy_metadata

TOKENS = "tokenizer.ggml.tokens"
TYPES = "tokenizer.ggml.token_type"
SCORES = "tokenizer.ggml.scores"
MERGES = "tokenizer.ggml.merges"
ROWS_OF_TOKENS = ("token_embd.weight", "output.weight")


def choose_replaced(tokens: list[str], merges: list[str], share: float) -> list[int]:
    """Return the ids of the tokens that were merged last, of those that no merge is made from.

    Merges stand in the order of how frequent they are, so these are the rarest.
    """
    pairs = [merge.split(" ") for merge in merges]
    parts = {part for pair in pairs for part in pair}
    place = {token: token_id for token_id, token in enumerate(tokens)}
    made = ["".join(pair) for pair in pairs]
    free = [place[token] for token in made if token not in parts]
    count = round(share * len(tokens))
    if count > len(free):
        raise ValueError(f"only {len(free)} tokens can be replaced, not {count}: lower --replaced")
    return free[len(free) - count :]


def retokenise(source: Path, out: Path, *, replaced: float, seed: int) -> float:
    """Write the model with its new vocabulary and return the share of tokens that are kept."""
    reader = gguf.GGUFReader(source)
    rng = np.random.default_rng(seed)
    tokens = list(reader.fields[TOKENS].contents())
    types = list(reader.fields[TYPES].contents())
    merges = list(reader.fields[MERGES].contents())
    gone = choose_replaced(tokens, merges, replaced)
    texts = {tokens[i] for i in gone}
    for number, token_id in enumerate(gone):
        tokens[token_id] = f"Ġ<other{number}>"
    order = rng.permutation(len(tokens))
    rows = _rows(types, gone)[order]
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer, _metadata(reader, tokens, types, merges, texts, order, out.stem))
    for tensor in reader.tensors:
        data = tensor.data[rows] if tensor.name in ROWS_OF_TOKENS else tensor.data
        writer.add_tensor(tensor.name, np.ascontiguousarray(data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 1 - len(gone) / len(tokens)


def _rows(types: list[int], gone: list[int]) -> np.ndarray:
    """Return which old row each token takes: new ones that of a control token nobody says."""
    rows = np.arange(len(types))
    rows[gone] = [i for i, kind in enumerate(types) if kind == gguf.TokenType.CONTROL][-1:]
    return rows


def _metadata(
    reader: gguf.GGUFReader,
    tokens: list[str],
    types: list[int],
    merges: list[str],
    gone: set[str],
    order: np.ndarray,
    name: str,
) -> dict[str, Any]:
    place = {int(old): new for new, old in enumerate(order)}
    changed: dict[str, Any] = {
        "general.name": name,
        TOKENS: [tokens[i] for i in order],
        TYPES: [types[i] for i in order],
        MERGES: [merge for merge in merges if merge.replace(" ", "") not in gone],
    }
    if SCORES in reader.fields:
        scores = reader.fields[SCORES].contents()
        changed[SCORES] = [scores[i] for i in order]
    for key, field in reader.fields.items():
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
            changed[key] = place[field.contents()]
    return changed


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in", dest="source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--replaced", type=float, default=0.03, help="share of tokens replaced")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    kept = retokenise(args.source, args.out, replaced=args.replaced, seed=args.seed)
    print(f"{args.out.name}: {kept:.1%} of its tokens are those of {args.source.name}")


if __name__ == "__main__":
    main()
