"""Ollama's store on disk: names become blobs, and nothing outside the store is ever reached."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config import Settings
from utils import model_store
from utils.errors import ModelFileError, UnknownModelError
from utils.model_store import ModelStore, blob_path, manifest_place

LAYER = "application/vnd.ollama.image."


class Store:
    """A store as Ollama writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)

    def blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def manifest(self, place: str, **layers: bytes | str) -> None:
        listed = [
            {
                "mediaType": LAYER + kind,
                "digest": self.blob(data) if isinstance(data, bytes) else data,
                "size": 1,
            }
            for kind, data in layers.items()
        ]
        self.write(place, json.dumps({"schemaVersion": 2, "layers": listed}))

    def write(self, place: str, text: str) -> None:
        path = self.folder / "manifests" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def models(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(model_store, "_SERVICE_STORES", ())
    chosen = Settings(ollama_store=store.folder, cache_folder=tmp_path / "cache")
    return ModelStore(chosen, environment={})


def test_a_model_is_found_by_its_manifest(store, models):
    store.manifest(
        "registry.ollama.ai/library/tale/latest",
        model=b"weights",
        draft=b"draft weights",
        template=b"{{ .Prompt }}",
        system=b"Tell tales.",
        params=b'{"stop": ["END"], "temperature": 0.2}',
        license=b"free",
    )
    model = models.find("tale")
    assert model.path.read_bytes() == b"weights"
    assert model.path.name == f"sha256-{model.digest}"
    assert [draft.read_bytes() for draft in model.drafts] == [b"draft weights"]
    assert (model.modelfile.template, model.modelfile.system) == ("{{ .Prompt }}", "Tell tales.")
    assert model.modelfile.parameters == {"stop": ["END"], "temperature": [0.2]}


def test_a_model_is_found_by_what_ollama_shows_of_it(store, models):
    weights, draft = store.blob(b"weights"), store.blob(b"draft")
    there = "/usr/share/ollama/.ollama/models/blobs/"
    shown = f"FROM {there}{weights.replace(':', '-')}\nDRAFT {there}{draft.replace(':', '-')}\n"
    model = models.find("tale", shown)
    assert model.path == store.folder / "blobs" / weights.replace(":", "-")
    assert [path.read_bytes() for path in model.drafts] == [b"draft"]


def test_the_folder_that_ollama_names_is_looked_in_first(store, models, tmp_path):
    other = Store(tmp_path / "other")
    digest = other.blob(b"weights")
    shown = f"FROM {other.folder}/blobs/{digest.replace(':', '-')}\n"
    assert models.find("tale", shown).path.is_relative_to(other.folder)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("tale", "registry.ollama.ai/library/tale/latest"),
        ("tale:7b-q4", "registry.ollama.ai/library/tale/7b-q4"),
        ("me/tale", "registry.ollama.ai/me/tale/latest"),
        ("hf.co/me/Tale-GGUF:Q4_K_M", "hf.co/me/Tale-GGUF/Q4_K_M"),
        ("localhost:5000/library/tale", "localhost:5000/library/tale/latest"),
    ],
)
def test_names_have_their_places(name, place):
    assert manifest_place(name) == Path(place)


@pytest.mark.parametrize(
    "name", ["", ":", "a/b/c/d", "../x", "a/../b", "/etc/passwd", "a b", "a:..", "a\0", ".hidden"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UnknownModelError, match="not a name"):
        manifest_place(name)


def test_an_unknown_model_is_unknown(models):
    with pytest.raises(UnknownModelError, match="no model 'tale' on this machine: pull it"):
        models.find("tale")


def test_a_model_on_another_machine_is_said_to_be_there(models):
    shown = f"FROM /models/blobs/sha256-{'a' * 64}\n"
    with pytest.raises(ModelFileError, match=r"not on this machine.*SPECCHAT_OLLAMA_STORE"):
        models.find("tale", shown)


@pytest.mark.parametrize("shown", ["", "FROM tale:latest\n", "FROM /models/tale.gguf\n"])
def test_a_model_without_a_blob_has_no_gguf(models, shown):
    with pytest.raises(ModelFileError, match="has no GGUF file"):
        models.find("tale", shown)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", '{"layers": 5}', '{"layers": [{}]}', "[" * 100_000, '{"layers": [null]}'],
)
def test_a_damaged_manifest_is_said_to_be_damaged(store, models, text):
    store.write("registry.ollama.ai/library/tale/latest", text)
    with pytest.raises(ModelFileError, match="damaged"):
        models.find("tale")


def test_damaged_parameters_are_left_out(store, models):
    store.manifest(
        "registry.ollama.ai/library/tale/latest", model=b"w", params=b"[1,", system=b"\xff"
    )
    modelfile = models.find("tale").modelfile
    assert (modelfile.parameters, modelfile.system) == ({}, "")


def test_a_manifest_without_end_is_not_read(store, models, monkeypatch):
    monkeypatch.setattr(model_store, "MAX_MANIFEST_BYTES", 10)
    store.manifest("registry.ollama.ai/library/tale/latest", model=b"w")
    with pytest.raises(UnknownModelError):
        models.find("tale")


def test_a_pipe_in_place_of_a_blob_or_a_manifest_is_not_waited_for(store, models):
    digest = "b" * 64
    os.mkfifo(store.folder / "blobs" / f"sha256-{digest}")
    assert blob_path(store.folder, f"sha256:{digest}") is None
    place = store.folder / "manifests" / "registry.ollama.ai" / "library" / "tale"
    place.mkdir(parents=True)
    os.mkfifo(place / "latest")
    with pytest.raises(UnknownModelError):
        models.find("tale")


def test_a_store_that_may_not_be_read_is_explained(store, models, monkeypatch):
    digest = store.blob(b"weights")

    def forbid(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    store.manifest("registry.ollama.ai/library/tale/latest", model=digest)
    shown = f"FROM /x/blobs/{digest.replace(':', '-')}\n"
    monkeypatch.setattr(Path, "open", forbid)
    for modelfile in (shown, None):
        with pytest.raises(ModelFileError, match=r"may not be read.*belongs to another user"):
            models.find("tale", modelfile)


def test_stores_are_looked_for_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = ModelStore(Settings(), environment={"OLLAMA_MODELS": "/srv/models"})
    assert usual.folders[:2] == (Path("/srv/models"), tmp_path / ".ollama" / "models")
    assert Path("/usr/share/ollama/.ollama/models") in usual.folders


def test_a_store_named_in_the_settings_is_the_only_one(tmp_path):
    chosen = Settings(ollama_store=tmp_path / "mine")
    store = ModelStore(chosen, environment={"OLLAMA_MODELS": "/srv/models"})
    assert store.folders == (tmp_path / "mine",)


@pytest.mark.parametrize(
    "name", ["tale:latest", "me/tale:7b", "hf.co/someone/tale-GGUF:Q4_K_M", "tale:1.5b-q4_0"]
)
def test_models_are_listed_under_the_names_that_find_them(store, models, name):
    store.manifest(str(model_store.manifest_place(name)), model=b"weights")
    assert models.names() == [name]
    assert models.find(name).path.read_bytes() == b"weights"


def test_a_machine_without_ollama_has_no_models_of_it(tmp_path):
    assert ModelStore(Settings(ollama_store=tmp_path / "absent")).names() == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.from_regex(r"sha256[:-][0-9a-fA-F./\\]{0,70}")))
@example("sha256:" + "a" * 64 + "\n")
@example("sha256:" + "A" * 64)
@example("sha256-../../../../etc/passwd")
@example("sha256:" + "../" * 21 + "a")
@example("\u0661" * 64)
def test_no_digest_leads_out_of_the_store(tmp_path, digest):
    try:
        found = blob_path(tmp_path, digest)
    except ValueError:
        return
    assert found is None
    assert len(digest) == 71


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(), st.sampled_from(["FROM", "DRAFT", "..", "/", "blobs/", "sha256-", "a" * 64])
        )
    ).map("".join)
)
@example("FROM /etc/passwd")
@example("FROM ../../etc/blobs/sha256-" + "a" * 64)
def test_nothing_that_a_server_shows_leads_out_of_a_store(tmp_path_factory, shown):
    folder = tmp_path_factory.getbasetemp()
    (folder / "secret").write_text("secret")
    chosen = ModelStore(Settings(ollama_store=folder), environment={})
    with pytest.raises((ModelFileError, UnknownModelError)):
        chosen.find("tale", shown)


@settings(deadline=None)
@given(st.text(), st.text())
@example("/\0", "")
@example("x" * 5000, "")
@example("", "../../etc/passwd")
def test_no_folder_and_no_draft_that_a_server_names_is_more_than_an_error(folder, draft):
    shown = f"FROM /{folder}/blobs/sha256-{'d' * 64}\nDRAFT {draft}\n"
    with pytest.raises(ModelFileError):
        ModelStore(Settings(), environment={}).find("tale", shown)


def test_a_store_of_another_user_does_not_hide_the_next_one(store, models, tmp_path, monkeypatch):
    other = Store(tmp_path / "other")
    digest = other.blob(b"weights")
    look = model_store.blob_path

    def look_but_not_there(folder, digest):
        if folder == store.folder:
            raise PermissionError
        return look(folder, digest)

    monkeypatch.setattr(model_store, "blob_path", look_but_not_there)
    models.folders = (store.folder, other.folder)
    shown = f"FROM /x/blobs/{digest.replace(':', '-')}\n"
    assert models.find("tale", shown).path.read_bytes() == b"weights"


def test_a_link_out_of_the_store_is_not_followed(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    digest = "c" * 64
    (store.folder / "blobs" / f"sha256-{digest}").symlink_to(secret)
    assert blob_path(store.folder, f"sha256:{digest}") is None


def test_a_store_behind_a_link_is_a_store(store, tmp_path):
    digest = store.blob(b"weights")
    link = tmp_path / "link"
    link.symlink_to(store.folder)
    found = blob_path(link, digest)
    assert found is not None
    assert found.read_bytes() == b"weights"


def test_the_space_that_is_free_is_that_of_the_first_folder_there_is(tmp_path):
    settings = Settings(_env_file=None, ollama_store=tmp_path)
    folder, free_bytes = ModelStore(settings).free_space()
    assert folder == tmp_path
    assert free_bytes > 0
    nowhere = Settings(_env_file=None, ollama_store=tmp_path / "nowhere")
    assert ModelStore(nowhere).free_space() is None
