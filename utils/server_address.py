"""The address of a server, from the settings: checked so strictly that all parsers agree on it."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

MAX_PORT = 65_535
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>{_LABEL}(?:\.{_LABEL})*))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)/?",
    re.ASCII,
)


def check_server_address(text: str) -> str:
    """Return the address without a last slash and in small letters up to the path.

    Raises `ValueError` for anything but http or https, a host, a port, and a plain path.
    """
    start, slash, path = text.partition("://")[2].partition("/")
    origin = text[: len(text) - len(path) - len(slash)] if start else text
    found = _ADDRESS.fullmatch(origin.lower() + slash + path)
    if found is None:
        raise ValueError("not an address like http://host:11434")
    port = found["port"]
    if port is not None and not 0 < int(port) <= MAX_PORT:
        raise ValueError(f"port {port} is not in 1 to {MAX_PORT}")
    _check_host(found)
    return found[0].removesuffix("/")


def _check_host(found: re.Match[str]) -> None:
    try:
        if found["ipv6"] is not None:
            IPv6Address(found["ipv6"])
        elif found["host"].rpartition(".")[2][0].isdigit():
            # Only a number may end in a number: 127.1 and 0x7f000001 are read in several ways.
            IPv4Address(found["host"])
    except AddressValueError as error:
        raise ValueError(f"not an address of a host: {error}") from error
