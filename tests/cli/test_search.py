import io
import json

import pytest

from localllm.cli.main import make_parser
from localllm.cli.output import Context, Output
from localllm.core.hub import tokens
from localllm.errors import HubRefused, ModelNotFound, UsageError
from localllm.paths import Paths
from localllm.settings import Settings
from localllm.texts import Translator
from tests import gguf_files as g
from tests.core import machines
from tests.hub_server import HubFile, HubRepo, HubServer

TOKEN = "hf_a_token_for_tests"
REPOSITORY = "maker/Small-2B-GGUF"


@pytest.fixture(autouse=True)
def server(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tokens, "system_keyring", lambda: None)
    for module in ("offers", "search"):
        monkeypatch.setattr(f"localllm.cli.{module}.this_machine", lambda context: machines.REFERENCE)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        gguf = {"total": 2 * 10**9, "architecture": "llama", "context_length": 4096}
        files = {
            "README.md": HubFile(b"# Small", lfs=False),
            "Small-2B-Q4_K_M.gguf": HubFile(model(64)),
            "Small-2B-Q8_0.gguf": HubFile(model(128)),
            "mmproj-F16.gguf": HubFile(b"x"),
            "aux.gguf": HubFile(b"x"),
        }
        server.add(HubRepo(REPOSITORY, files, gguf=gguf, downloads=7))
        server.add(HubRepo("maker/Huge-GGUF", gguf={**gguf, "total": 10**12}, gated="manual"))
        server.add(HubRepo("maker/Unknown-GGUF", tags=("gguf", "license:mit", "code")))
        yield server


def model(width):
    pairs = [
        *g.LLAMA,
        g.uint_pair("llama.context_length", 4096),
        g.strings_pair("tokenizer.ggml.tokens", [f"t{n}" for n in range(width)]),
    ]
    return g.container(pairs, [g.tensor("token_embd.weight", (64, width))], b"\0" * (64 * width * 4))


def run(*arguments, **settings):
    parsed = make_parser().parse_args(arguments)
    context = Context(Paths.for_user(), Settings(**settings), Output(Translator("en")))
    return parsed.run(parsed, context)


def answer(capsys, *arguments, **settings):
    assert run("search", *arguments, "--json", **settings) == 0
    return json.loads(capsys.readouterr().out)


def test_hits_as_a_table_and_as_json(capsys):
    assert run("search", "maker", "gguf") == 0
    printed = capsys.readouterr().out
    assert REPOSITORY in printed
    assert "2.0 B" in printed
    assert "licence to accept" in printed
    found = answer(capsys, "maker")
    assert (found["source"], found["offline"]) == ("hub", None)
    assert found["hits"][0] == {
        "id": REPOSITORY, "downloads": 7, "likes": 0, "updated": "2026-10-01T12:00:00+00:00", "use": "text-generation",
        "license": "apache-2.0", "gated": False, "private": False, "parameters": 2 * 10**9, "architecture": "llama",
        "context_length": 4096,
    }  # fmt: skip


def test_filters(capsys, server):
    assert [hit["id"] for hit in answer(capsys, "maker", "--license", "mit")["hits"]] == [
        "maker/Unknown-GGUF"
    ]
    assert [hit["id"] for hit in answer(capsys, "maker", "--use", "code")["hits"]] == ["maker/Unknown-GGUF"]
    assert len(answer(capsys, "maker", "--limit", "1")["hits"]) == 1
    assert "sort=lastModified" in (answer(capsys, "maker", "--sort", "date"), server.log[-1].path)[1]
    fitting = answer(capsys, "maker", "--fits")["hits"]
    assert {hit["id"] for hit in fitting} == {REPOSITORY, "maker/Unknown-GGUF"}
    assert run("search", "nothing-like-it") == 0
    assert "no GGUF model for this search" in capsys.readouterr().out


def test_what_a_repository_offers(capsys):
    assert run("search", REPOSITORY) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines() if "Q4_K_M" in line or "Q8_0" in line]
    assert rows[0][:2] == ["Balanced", "Q4_K_M"]
    assert rows[0][-1] == "recommended"
    assert rows[1][:2] == ["Large", "Q8_0"]
    assert "vision projector" in printed.out
    assert "“aux.gguf” was skipped" in printed.err


def test_what_a_repository_offers_as_json(capsys, server):
    found = answer(capsys, f"https://huggingface.co/{REPOSITORY}/tree/main")
    assert found["repository"]["commit"] == "a" * 40
    first = found["offers"][0]
    assert (first["quant"], first["group"], first["recommended"], first["complete"]) == (
        "Q4_K_M",
        "balanced",
        True,
        True,
    )
    assert first["files"][0]["sha256"] == server.repos[REPOSITORY].files["Small-2B-Q4_K_M.gguf"].sha256
    assert first["memory"] is None
    assert [companion["kind"] for companion in found["companions"]] == ["projector"]
    assert found["skipped"][0]["file"] == "aux.gguf"
    assert not any(asked.cdn for asked in server.log)


def test_what_each_offer_takes_here(capsys):
    found = answer(capsys, REPOSITORY, "--fits")
    assert all(offer["problem"] or offer["memory"]["total"] > offer["size"] for offer in found["offers"])
    assert run("search", REPOSITORY, "--fits") == 0
    assert "Verdict" in capsys.readouterr().out


def test_offline_shows_the_catalogue_and_says_so(capsys, monkeypatch, server):
    assert run("search", "smollm2", network="off") == 0
    printed = capsys.readouterr()
    assert "set to work offline" in printed.err
    assert "SmolLM2" in printed.out
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    found = answer(capsys, "smollm2", "135m")
    assert found["source"] == "catalogue"
    assert "offline" in found["offline"]
    assert [hit["id"] for hit in found["hits"]] == ["bartowski/SmolLM2-135M-Instruct-GGUF"]
    assert found["hits"][0]["quants"]
    of_repository = answer(capsys, "bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M")
    assert of_repository["hits"] == found["hits"]
    with pytest.raises(ModelNotFound, match="catalogue of LocalLLM has no model"):
        run("search", "nothing-like-it")
    assert not server.log


def test_what_makes_no_sense(capsys):
    for limit in ("0", "201"):
        with pytest.raises(UsageError):
            run("search", "x", "--limit", limit)
    with pytest.raises(HubRefused):
        run("search", "maker/none")
    for wrong in (["search"], ["search", "x", "--sort", "taste"], ["search", "x", "--use", "poetry"]):
        with pytest.raises(SystemExit) as caught:
            run(*wrong)
        assert caught.value.code == 2
    capsys.readouterr()


def test_a_stranger_cannot_steer_the_terminal(server, capsys):
    server.add(HubRepo("maker/Evil-GGUF", tags=("gguf", "license:\x1b]52;c;ZXZpbA==\x07\x9b2Jx\ny")))
    for arguments in (["search", "evil"], ["search", "maker/Evil-GGUF"]):
        assert run(*arguments) == 0
        shown = capsys.readouterr().out
        assert "?]52;c;ZXZpbA==??2Jx" in shown
        assert not [letter for letter in shown if letter != "\n" and not letter.isprintable()]
    raw = json.dumps("license:\x1b\x9b\x7f")
    Output(Translator("en")).json({"license": json.loads(raw)})
    written = capsys.readouterr().out
    assert json.loads(written) == {"license": "license:\x1b\x9b\x7f"}
    assert written.rstrip("\n").isprintable()


def test_a_token_from_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\n"))
    with pytest.raises(UsageError, match="was not kept"):  # the command ends, and its session with it
        run("token", "--set")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert run("token", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "host": "127.0.0.1",
        "place": "environment",
        "sentence": "The token in HF_TOKEN is used.",
    }
