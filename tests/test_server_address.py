"""The address of a server: thirty forms, taken or refused, and read alike by every parser."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest

from config import load_settings
from utils.errors import ConfigError
from utils.server_address import check_server_address

TAKEN = {
    "http://127.0.0.1:11434": "http://127.0.0.1:11434",
    "http://localhost:11434/": "http://localhost:11434",
    "HTTP://LocalHost:80": "http://localhost:80",
    "https://ollama.example.org": "https://ollama.example.org",
    "https://example.org/team_1/Ollama/": "https://example.org/team_1/Ollama",
    "http://[::1]:11434": "http://[::1]:11434",
    "http://[fe80::1:2]": "http://[fe80::1:2]",
    "http://ollama_server:11434": "http://ollama_server:11434",
    "http://xn--bcher-kva.example": "http://xn--bcher-kva.example",
}
REFUSED = [
    "",
    "http://",
    "127.0.0.1:11434",
    "//127.0.0.1:11434",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "unix:///run/ollama.sock",
    "http://user@host",
    "http://user:secret@host:11434",
    "http://a@b@c",
    "http://host:0",
    "http://host:65536",
    "http://host:port",
    "http://host:",
    "http://host\\@evil.example",
    "http:\\\\host",
    "http://host/../admin",
    "http://host/a/./b",
    "http://host/%2e%2e",
    "http://host//evil.example",
    "http://host?target=evil",
    "http://host#evil",
    "http://ho st",
    " http://host",
    "http://host\n",
    "http://host\t:80",
    "http://[::1",
    "http://[zz::1]",
    "http://[::1%25eth0]",
    "http://127.1",
    "http://2130706433",
    "http://0x7f000001",
    "http://127.0.0.256",
    "http://host..example",
    "http://-host",
    "http://bücher.example",
    "http://\uff11\uff12\uff17.0.0.1",
]


@pytest.mark.parametrize("text", TAKEN)
def test_a_plain_address_is_taken_and_means_the_same_to_every_parser(text):
    checked = check_server_address(text)
    assert checked == TAKEN[text]
    split, url = urlsplit(checked), httpx.URL(checked)
    assert (split.scheme, split.hostname) == (url.scheme, url.raw_host.decode())
    assert (split.username, split.query, split.fragment) == (None, "", "")


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="not"):
        check_server_address(text)


def test_a_wrong_address_in_the_settings_names_its_variable(monkeypatch):
    monkeypatch.setenv("SPECCHAT_OLLAMA_URL", "http://user@host")
    with pytest.raises(ConfigError, match="SPECCHAT_OLLAMA_URL"):
        load_settings()
