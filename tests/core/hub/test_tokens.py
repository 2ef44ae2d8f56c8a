import os
import subprocess
import sys
import threading
from pathlib import Path

import keyring.backend
import psutil
import pytest

from localllm.core.hub.tokens import SERVICE, Tokens, place_sentence, system_keyring
from localllm.errors import UsageError
from tests.hub_server import HubFile, HubRepo

CANARY = "hf_" + "canary" * 5
HOST = "hub.example"


class MemoryKeyring:
    """A system's keyring."""

    def __init__(self):
        self.secrets = {}
        self.asked = 0

    def get_password(self, service, username):
        self.asked += 1
        return self.secrets.get((service, username))

    def set_password(self, service, username, password):
        self.secrets[service, username] = password

    def delete_password(self, service, username):
        del self.secrets[service, username]


def test_a_token_lives_in_the_keyring():
    ring = MemoryKeyring()
    tokens = Tokens(lambda: ring)
    assert tokens.get(HOST) is None
    assert tokens.place(HOST) == "none"
    assert tokens.save(HOST, f" {CANARY}\n") == "keyring"
    assert ring.secrets == {(SERVICE, HOST): CANARY}
    assert (tokens.get(HOST), tokens.get("other.example")) == (CANARY, None)
    again = Tokens(lambda: ring)
    before = ring.asked
    assert [again.get(HOST) for _ in range(3)] == [CANARY] * 3
    assert ring.asked == before + 1
    again.forget(HOST)
    assert ring.secrets == {}
    assert (again.get(HOST), again.place(HOST)) == (None, "none")
    again.forget(HOST)


def failing(*_):
    raise RuntimeError("locked")


@pytest.mark.parametrize("kind", ["none", "failing", "forgetful"])
def test_without_a_keyring_the_token_is_for_this_session(kind):
    ring = MemoryKeyring()
    if kind == "failing":
        ring.set_password = ring.get_password = ring.delete_password = failing
    elif kind == "forgetful":
        ring.set_password = lambda *_: None
    tokens = Tokens(lambda: None if kind == "none" else ring)
    assert tokens.save(HOST, CANARY) == "session"
    assert (tokens.get(HOST), tokens.place(HOST)) == (CANARY, "session")
    assert "forgotten when LocalLLM is closed" in str(place_sentence("session"))
    assert Tokens(lambda: None).get(HOST) is None
    tokens.forget(HOST)
    assert tokens.get(HOST) is None


def test_a_keyring_that_waits_for_a_password_is_not_waited_for():
    release = threading.Event()

    def find():
        release.wait()

    tokens = Tokens(find, seconds=0.05)
    assert tokens.get(HOST) is None
    assert tokens.save(HOST, CANARY) == "session"
    assert tokens.get(HOST) == CANARY
    release.set()


def test_the_environment_goes_first(monkeypatch):
    ring = MemoryKeyring()
    ring.secrets[SERVICE, HOST] = "hf_from_the_keyring"
    monkeypatch.setenv("HF_TOKEN", f"{CANARY}\n")
    tokens = Tokens(lambda: ring)
    assert (tokens.get(HOST), tokens.place(HOST)) == (CANARY, "environment")
    assert ring.asked == 0


@pytest.mark.parametrize(
    "token", ["", "short", "two words of it", "hf_é" + "x" * 20, "x" * 2000, "hf_token\nInjected: header"]
)
def test_what_is_no_token_is_refused(token):
    with pytest.raises(UsageError, match="not a token"):
        Tokens(lambda: None).save(HOST, token)


def test_plain_text_keyrings_do_not_count(monkeypatch):
    class Plain(keyring.backend.KeyringBackend):
        priority = 99

        get_password = set_password = delete_password = None

    class System(Plain):
        priority = 5

    Plain.__module__, System.__module__ = "keyrings.alt.file", "keyring.backends.SecretService"
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: [Plain(), System()])
    assert type(system_keyring()) is System
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: [Plain()])
    assert system_keyring() is None
    for made in (Plain, System):
        keyring.backend.KeyringBackend._classes.discard(made)


PROGRAM = """
import sys
from localllm.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def test_the_token_is_found_nowhere(server, home, tmp_path):
    """A whole run that uses a token, then a search through everything it wrote or started."""
    server.add(HubRepo("u/m", {"m-Q4_0.gguf": HubFile(b"GGUF" * 9)}, gated="auto", tokens=(CANARY,)))
    environment = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    environment |= {
        "HF_ENDPOINT": server.url,
        "LOCALLLM_HOME": str(home),
        "HOME": str(tmp_path),
        "HF_TOKEN": CANARY,
    }
    commands = (["search", "u/m", "--fits", "--json"], ["search", "u/none"], ["token"])
    for arguments in commands:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert CANARY not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert {asked.token for asked in server.log if not asked.cdn} == {CANARY}
    assert [asked.token for asked in server.log if asked.cdn] == [""]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert not (tmp_path / ".cache" / "huggingface").exists()


def test_children_do_not_get_the_token(monkeypatch):
    from localllm.processes import Child

    monkeypatch.setenv("HF_TOKEN", CANARY)
    gone = threading.Event()
    child = Child(
        [sys.executable, "-c", "import sys; print('{}', flush=True); sys.stdin.read()"],
        on_message=lambda message: None,
        on_death=lambda death: gone.set(),
    )
    process = psutil.Process(child.pid)
    try:
        assert CANARY not in str(process.environ()) + " ".join(process.cmdline())
        if Path("/proc").is_dir():
            assert CANARY.encode() not in Path(f"/proc/{child.pid}/environ").read_bytes()
    finally:
        child.stop()
        assert gone.wait(30)
