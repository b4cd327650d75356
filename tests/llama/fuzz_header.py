"""Mutate and truncate a sound GGUF: reading its header must end in a header or `ModelFileError`.

python -m tests.llama.fuzz_header --cases 50000 [--seed N] [--native]

`--native` also has llama.cpp load and decode what the reader lets through, each in a process of
its own, and counts those that die there.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from tests.tiny_gguf import write_tiny_gguf
from utils.errors import ModelFileError
from utils.llama.gguf_header import read_header

ODD_NUMBERS = (0, 1, 2, 7, 31, 255, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def mutate(data: bytes, header_bytes: int, choice: random.Random) -> bytes:
    """Return the file with one to four changes in its header, or cut short."""
    changed = bytearray(data)
    for _ in range(choice.randint(1, 4)):
        place = choice.randrange(header_bytes)
        match choice.randrange(6):
            case 0:
                changed[place] ^= 1 << choice.randrange(8)
            case 1:
                changed[place : place + 4] = struct.pack("<I", choice.choice(ODD_NUMBERS) % 2**32)
            case 2:
                changed[place : place + 8] = struct.pack("<Q", choice.choice(ODD_NUMBERS))
            case 3:
                del changed[place : place + choice.randint(1, 16)]
            case 4:
                changed[place:place] = choice.randbytes(choice.randint(1, 16))
            case 5:
                return bytes(changed[: choice.randrange(len(changed))])
    return bytes(changed)


def cases(folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Yield `count` mutated files, one after the other, under one path."""
    sound = write_tiny_gguf(folder / "sound.gguf", vocabulary_size=288, layers=1).read_bytes()
    # The weights of this model are small: what is before them is the header.
    header_bytes = sound.index(b"output_norm.weight") + 700
    choice = random.Random(seed)
    path = folder / "mutated.gguf"
    for _ in range(count):
        path.write_bytes(mutate(sound, header_bytes, choice))
        yield path


def read(path: Path) -> str:
    """Return how reading ended."""
    try:
        read_header(path)
    except ModelFileError as error:
        return "refused" if "\n" not in str(error) else "more than a sentence"
    return "accepted"


def dies_natively(path: Path) -> bool:
    """Tell whether llama.cpp kills a process that loads the file and decodes two tokens."""
    from utils.llama.probe import try_model

    child = os.fork()
    if child == 0:
        os.environ["GGML_NO_BACKTRACE"] = "1"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try_model(path)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--native", action="store_true")
    options = parser.parse_args()
    ends: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for path in cases(Path(folder), options.cases, options.seed):
            begin = perf_counter()
            end = read(path)
            slowest = max(slowest, perf_counter() - begin)
            ends[end] += 1
            if options.native and end == "accepted" and dies_natively(path):
                ends["died in llama.cpp"] += 1
                Path(f"crash-{ends['died in llama.cpp']}.gguf").write_bytes(path.read_bytes())
    print(dict(ends), f"slowest {slowest * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
