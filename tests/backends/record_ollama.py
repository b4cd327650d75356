"""Record how a real Ollama server answers, for `tests/ollama_server.py` to answer alike.

`python -m tests.backends.record_ollama URL [NAME]` writes `tests/data/ollama/*.json`. The server
needs models made with `ollama create`: `demo` with `MODELFILE`, `demo-thinker`, who only thinks,
with `THINKER`, and `demo-draft` from the embedded draft. With a NAME, the pull of that model is
recorded too.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).resolve().parents[1] / "data" / "ollama"
MODELFILE = """\
FROM models/demo-target.gguf
SYSTEM "You are a story writer.
You write short stories."
PARAMETER temperature 0.5
PARAMETER top_k 30
PARAMETER seed 7
PARAMETER num_ctx 1024
PARAMETER stop Human:
PARAMETER stop "The end, "
"""
THINKER = """\
FROM models/demo-target.gguf
TEMPLATE "{{- range .Messages }}<|im_start|>{{ .Role }}
{{ if .Thinking }}<think>{{ .Thinking }}</think>
{{ end }}{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
<think>
"
"""
MESSAGES = [{"role": "user", "content": "Tell me a story."}]
OPTIONS = {"temperature": 0, "num_predict": 24, "draft_num_predict": 0}
_STORE = re.compile(r"/[^\s\"']*/blobs/")

Exchange = tuple[str, str, str, dict[str, Any] | None]
EXCHANGES: tuple[Exchange, ...] = (
    ("version", "GET", "/api/version", None),
    ("tags", "GET", "/api/tags", None),
    ("show", "POST", "/api/show", {"model": "demo"}),
    ("show_missing", "POST", "/api/show", {"model": "missing"}),
    (
        "render",
        "POST",
        "/api/chat",
        {
            "model": "demo",
            "messages": MESSAGES,
            "stream": False,
            "_debug_render_only": True,
        },
    ),
    (
        "chat",
        "POST",
        "/api/chat",
        {
            "model": "demo",
            "messages": MESSAGES,
            "stream": True,
            "options": OPTIONS,
        },
    ),
    (
        "chat_thinking",
        "POST",
        "/api/chat",
        {"model": "demo-thinker", "messages": MESSAGES, "stream": True, "options": OPTIONS},
    ),
    (
        "generate",
        "POST",
        "/api/generate",
        {
            "model": "demo",
            "prompt": "{prompt}In a quiet forest",
            "raw": True,
            "stream": True,
            "options": OPTIONS,
        },
    ),
    (
        "chat_missing",
        "POST",
        "/api/chat",
        {
            "model": "missing",
            "messages": MESSAGES,
            "stream": True,
        },
    ),
    ("ps", "GET", "/api/ps", None),
    ("unload", "POST", "/api/generate", {"model": "demo", "keep_alive": 0, "stream": False}),
    ("copy", "POST", "/api/copy", {"source": "demo", "destination": "demo-copy"}),
    ("delete", "DELETE", "/api/delete", {"model": "demo-copy"}),
    ("delete_missing", "DELETE", "/api/delete", {"model": "missing"}),
)


def main(url: str, pulled: str = "") -> None:
    """Ask everything in order and keep the answers, without paths of this machine."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    prompt = version = ""
    exchanges = list(EXCHANGES)
    if pulled:
        exchanges.append(("pull", "POST", "/api/pull", {"model": "demo", "stream": True}))
    with httpx.Client(base_url=url, timeout=120, headers={"Accept-Encoding": "identity"}) as client:
        for name, method, path, body in exchanges:
            request = json.loads(json.dumps(body).replace("{prompt}", json.dumps(prompt)[1:-1]))
            sent = {**request, "model": pulled} if name == "pull" else request
            answer = client.request(method, path, json=sent) if body else client.get(path)
            version = version or answer.json()["version"]
            if name == "render":
                prompt = answer.json()["_debug_info"]["rendered_template"]
            record = {
                "server": f"ollama {version}",
                "method": method,
                "path": path,
                "request": request,
                "status": answer.status_code,
                "content_type": answer.headers.get("content-type", ""),
                "lines": _STORE.sub("/store/blobs/", answer.text).splitlines(),
            }
            file = FOLDER / f"{name}.json"
            file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
