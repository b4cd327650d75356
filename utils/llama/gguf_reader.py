"""Bounded reading of the parts of a GGUF file; knows nothing about models.

Every length is checked against what is left of the file before anything is allocated for it.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from utils.errors import ModelFileError
from utils.llama.gguf_types import TENSOR_TYPES, TensorType

MAX_PAIRS = 65_536
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 1024
MAX_TEXT_BYTES = 4 * 2**20
MAX_KEPT_BYTES = 16 * 2**20
MAX_ARRAY = 2**24
MAX_TOKENS = 2**19
MAX_KEPT_ARRAY = 1024
_WINDOW_BYTES = 2**18
_MAX_NAME_BYTES = 63
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]

Scalar = int | float | bool
Value = Scalar | bytes | tuple[Scalar, ...] | tuple[bytes, ...]


class TensorInfo(NamedTuple):
    """A tensor as the header declares it; `offset` counts from the start of the data."""

    name: str
    kind: TensorType
    elements: int
    size_bytes: int
    offset: int


class GGUFReader:
    """A file read from front to back through a small window."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            # A FIFO must not block the opening; what was opened is checked, not the path.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.error(f"cannot be opened: {reason.lower()}") from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise self.error("is not a regular file")
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.size_bytes = status.st_size
        self._window, self._start, self._position = b"", 0, 0
        self._kept_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def error(self, problem: str) -> ModelFileError:
        """Return the error that says what is wrong with this file."""
        return ModelFileError(f"model file {problem}: {self._name!r}")

    @property
    def offset(self) -> int:
        """Bytes read so far."""
        return self._start + self._position

    def take(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        end = self._position + count
        if end <= len(self._window):
            data = self._window[self._position : end]
            self._position = end
            return data
        if count > self.size_bytes - self.offset:
            raise self.error(f"is truncated: {count} bytes declared at byte {self.offset}")
        self._refill(max(count, _WINDOW_BYTES))
        if len(self._window) < count:
            raise self.error("became shorter while it was read")
        self._position = count
        return self._window[:count]

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        if count > self.size_bytes - self.offset:
            raise self.error(f"is truncated: {count} bytes declared at byte {self.offset}")
        self._position += count

    def u32(self) -> int:
        """Read an unsigned 32-bit number."""
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        """Read an unsigned 64-bit number."""
        return int(_U64.unpack(self.take(8))[0])

    def count(self, limit: int, what: str) -> int:
        """Read a number of things, at most `limit`."""
        number = self.u64()
        if number > limit:
            raise self.error(f"declares {number} {what}, more than {limit}")
        return number

    def text(self, limit: int, what: str) -> bytes:
        """Read a string of at most `limit` bytes."""
        return self.take(self.count(limit, f"bytes of {what}"))

    def value(self, key: str, *, kept_array: int) -> Value | None:
        """Read the value of a metadata key; None for arrays longer than `kept_array`."""
        kind = self.u32()
        if kind == _ARRAY:
            return self._array(key, kept_array)
        if kind == _STRING:
            return self._keep(self.text(MAX_TEXT_BYTES, f"text in {key!r}"))
        scalar = self._scalar(kind, key)
        value: Scalar = scalar.unpack(self.take(scalar.size))[0]
        return value

    def tensor(self) -> TensorInfo:
        """Read the declaration of a tensor."""
        name = self.text(_MAX_NAME_BYTES, "tensor name").decode("utf-8", "replace")
        dimensions = self.u32()
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            raise self.error(f"declares {dimensions} dimensions for tensor {name!r}")
        shape = [self.u64() for _ in range(dimensions)]
        number = self.u32()
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            raise self.error(f"has tensor {name!r} in format {number}, which cannot be computed")
        elements = 1
        for length in shape:
            elements *= length
        if elements == 0 or elements >= 2**63 or shape[0] % kind.block_size:
            raise self.error(f"has tensor {name!r} of impossible shape {shape} for {kind.name}")
        size_bytes = elements // kind.block_size * kind.block_bytes
        return TensorInfo(name, kind, elements, size_bytes, self.u64())

    def _array(self, key: str, kept_array: int) -> Value | None:
        kind = self.u32()
        length = self.count(MAX_ARRAY, f"elements in {key!r}")
        if kind == _STRING:
            return self._texts(key, length, kept=length <= kept_array)
        scalar = self._scalar(kind, key)
        if length > kept_array:
            self.skip(length * scalar.size)
            return None
        data = self._keep(self.take(length * scalar.size))
        return tuple(item for (item,) in scalar.iter_unpack(data))

    def _texts(self, key: str, length: int, *, kept: bool) -> tuple[bytes, ...] | None:
        if not kept:
            for _ in range(length):
                self.skip(self.count(MAX_TEXT_BYTES, f"bytes of text in {key!r}"))
            return None
        return tuple(
            self._keep(self.text(MAX_TEXT_BYTES, f"text in {key!r}")) for _ in range(length)
        )

    def _keep(self, data: bytes) -> bytes:
        self._kept_bytes += len(data)
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise self.error(f"has more than {MAX_KEPT_BYTES} bytes of metadata")
        return data

    def _scalar(self, kind: int, key: str) -> struct.Struct:
        if kind not in _SCALARS:
            raise self.error(f"has metadata {key!r} of unknown type {kind}")
        return _SCALARS[kind]

    def _refill(self, count: int) -> None:
        self._start, self._position = self.offset, 0
        self._file.seek(self._start)
        self._window = self._file.read(count) or b""
