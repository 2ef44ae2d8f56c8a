"""What the Library page can do with one model, from the command line."""

import hashlib
import json
import time

import pytest

from localllm.cli.main import run as main
from localllm.core.hub import tokens
from localllm.core.library import Library
from localllm.core.library.model import LoadProfile, Provenance
from localllm.core.library.trash import list_trash
from localllm.engine.protocol import LoadSettings, Sampling
from localllm.errors import BadModelFile, HubOffline, UsageError
from tests.cli.test_models import context, run  # noqa: F401
from tests.core.library.conftest import make_model  # noqa: F401
from tests.gguf_files import write
from tests.hub_server import HubFile, HubRepo, HubServer

CHATTY = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


@pytest.fixture
def model(context, make_model):  # noqa: F811
    return make_model(context.paths.models / "Alpha.gguf", template=CHATTY)


@pytest.fixture
def library(context, model):  # noqa: F811
    made = Library(context.paths, context.settings)
    made.models()
    return made


@pytest.fixture
def server(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tokens, "system_keyring", lambda: None)
    with HubServer() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def test_notes_are_written_shown_and_taken_away(run, model, monkeypatch):  # noqa: F811
    assert run("note", "alpha")[1] == "There are no notes on “Alpha”.\n"
    assert run("note", "alpha", "for\ntests")[1] == "for\ntests\n"
    assert json.loads(run("note", model, "--json")[1]) == {"path": str(model), "notes": "for\ntests"}
    monkeypatch.setattr("sys.stdin.read", lambda: "piped\n", raising=False)
    assert run("note", "alpha", "-")[1] == "piped\n"
    assert run("note", "alpha", "")[1] == "There are no notes on “Alpha”.\n"


def test_a_favourite_on_and_off(run, model, library):  # noqa: F811
    assert "is a favourite now" in run("favourite", "alpha")[1]
    assert library.at(model).favourite
    assert json.loads(run("favorite", "alpha", "off", "--json")[1])["favourite"] is False
    assert not library.at(model).favourite


def test_a_profile_is_saved_from_the_flags_of_chat(run, model, library):  # noqa: F811
    assert "no load profiles" in run("profile", "list", "alpha")[1]
    flags = (
        "-c",
        1024,
        "-t",
        2,
        "-ngl",
        3,
        "-ctk",
        "q8_0",
        "--temp",
        "0.5",
        "--stop",
        "END",
        "--system",
        "Hi.",
    )
    status, out = run("profile", "save", "alpha", " quick ", *flags, "--default", "--json")
    saved = json.loads(out)
    assert (status, saved["name"], saved["default"]) == (0, "quick", True)
    expected = LoadSettings(1024, 2, 3, kv_type_k="q8_0")
    kept = library.profile(model)
    assert kept == LoadProfile("quick", expected, Sampling(0.5, stop=("END",)), "Hi.")
    run("profile", "save", "alpha", "plain")
    assert library.profile(model, "plain") == LoadProfile("plain", LoadSettings())
    listed = json.loads(run("profile", "list", "alpha", "--json")[1])
    assert [(one["name"], one["default"]) for one in listed] == [("plain", False), ("quick", True)]
    assert "1024 tokens · 2 threads" in run("profile", "list", "alpha")[1]


def test_profiles_are_renamed_chosen_and_removed(run, model, library):  # noqa: F811
    for name in ("one", "two"):
        library.save_profile(model, LoadProfile(name))
    assert "default load profile" in run("profile", "default", "alpha", "one")[1]
    assert "“three”" in run("profile", "rename", "alpha", "one", "three")[1]
    assert library.profile(model).name == "three"
    with pytest.raises(UsageError, match="named “two” already"):
        run("profile", "rename", "alpha", "three", "two")
    assert json.loads(run("profile", "default", "alpha", "--none", "--json")[1])["default_profile"] is None
    assert library.profile(model) is None
    assert json.loads(run("profile", "remove", "alpha", "two", "--json")[1])["removed"] == "two"
    with pytest.raises(UsageError, match="has no load profile “two”"):
        run("profile", "default", "alpha", "two")
    with pytest.raises(UsageError, match="needs a name"):
        run("profile", "rename", "alpha", "three", "  ")
    assert [profile.name for profile in library.profiles(model)] == ["three"]


def test_the_template_is_shown_and_tried(run, model, context, make_model):  # noqa: F811
    assert run("template", "alpha") == (0, CHATTY + "\n")
    assert (
        run("template", "alpha", "-p", "Hello", "--system", "Be brief.")[1]
        == "[system]Be brief.[user]Hello\n"
    )
    tried = json.loads(run("template", "alpha", "-p", "Hello", "--json")[1])
    assert (tried["used"], tried["prompt"], tried["notices"]) == ("file", "[user]Hello", [])
    make_model(context.paths.models / "Bare.gguf")
    assert "no chat template of its own" in run("template", "bare")[1]
    assert json.loads(run("template", "bare", "--json")[1])["template"] is None


def test_tensors_and_layers(run, model):  # noqa: F811
    (tensor,) = json.loads(run("tensors", "alpha", "--json")[1])
    assert tensor == {
        "name": "blk.0.a", "type": "F32", "shape": [32], "bytes": 128, "layer": 0, "bits_per_weight": 32.0,
    }  # fmt: skip
    out = run("tensors", "alpha", "--sort", "size")[1]
    assert "blk.0.a" in out
    assert "One tensor of 128 bytes." in out
    (layer,) = json.loads(run("tensors", "alpha", "--layers", "--json")[1])
    assert layer == {"layer": 0, "types": {"F32": 128}, "bits_per_weight": 32.0}
    assert "F32" in run("tensors", "alpha", "--layers")[1]


def test_what_is_refused_has_no_contents(run, context, model):  # noqa: F811
    write(context.paths.models / "bad.gguf", b"GGUF" + b"\xff" * 60)
    for action in ("tensors", "template"):
        with pytest.raises(BadModelFile):
            run(action, "bad")


def test_only_what_was_downloaded_has_a_source(run, model):  # noqa: F811
    with pytest.raises(UsageError, match="It is not known which file"):
        run("source", "alpha")


def test_the_source_is_asked(run, model, library, server, monkeypatch):  # noqa: F811
    content = model.read_bytes()
    sha256 = {model.name: hashlib.sha256(content).hexdigest()}
    library.record_download(model, Provenance("o/alpha", "c" * 40, model.name, sha256), sha256)
    server.add(HubRepo("o/alpha", {model.name: HubFile(content)}))
    assert "has the same file still" in run("source", "alpha")[1]
    server.add(HubRepo("o/alpha", {model.name: HubFile(content + b"more")}))
    answer = json.loads(run("source", "alpha", "--json")[1])
    assert (answer["state"], answer["repo"]) == ("replaced", "o/alpha")
    assert "has replaced “Alpha.gguf”" in answer["sentence"]
    server.add(HubRepo("o/alpha", {"other.gguf": HubFile(content)}))
    assert json.loads(run("source", "alpha", "--json")[1])["state"] == "gone"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubOffline):
        run("source", "alpha")


def test_the_trash_is_listed_restored_and_emptied(run, context, model, make_model, monkeypatch):  # noqa: F811
    assert "The trash is empty" in run("trash")[1]
    run("remove", "alpha", "--yes")
    (entry,) = json.loads(run("trash", "--json")[1])
    assert (entry["name"], entry["files"]) == ("Alpha", [str(model)])
    assert "Alpha" in run("trash", "list")[1]
    assert "is back in" in run("trash", "restore", "alpha")[1]
    assert model.is_file()
    run("remove", "alpha", "--yes")
    make_model(model)
    run("remove", "alpha", "--yes")
    with pytest.raises(UsageError, match="several times"):
        run("trash", "restore", "alpha")
    with pytest.raises(UsageError, match="no “beta” in the trash"):
        run("trash", "restore", "beta")
    newest = list_trash(context.paths.models)[0].folder.name
    assert json.loads(run("trash", "restore", newest, "--json")[1])["files"] == [str(model)]
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    assert run("trash", "empty")[0] == 1
    assert json.loads(run("trash", "empty", "--days", "1", "--json")[1]) == {"deleted": [], "bytes": 0}
    assert json.loads(run("trash", "empty", "--yes", "--json")[1])["deleted"] == ["Alpha"]
    assert list_trash(context.paths.models) == []


def test_a_scan_empties_what_lay_in_the_trash_for_a_month(run, context, model, make_model, monkeypatch):  # noqa: F811
    run("remove", "alpha", "--yes")
    make_model(context.paths.models / "Beta.gguf")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29 * 86_400)
    run("remove", "beta", "--yes")
    run("scan")
    assert [entry.name for entry in list_trash(context.paths.models)] == ["Beta", "Alpha"]
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86_400)
    run("scan")
    assert [entry.name for entry in list_trash(context.paths.models)] == ["Beta"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("profile",), ("profile", "default", "x"), ("profile", "save", "x", "n", "--temp", "hot"),
        ("trash", "empty", "--days", "-1"), ("favourite", "x", "maybe"), ("tensors", "x", "--sort", "luck"),
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_2(arguments, home, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["models", *arguments])
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
