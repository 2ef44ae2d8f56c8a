"""Kills, corruptions, faults, version changes, hostile names: few in the ordinary run, all with `torture`."""

import contextlib
import dataclasses
import hashlib
import random
import subprocess
import sys
import time

import pytest

from localllm.core.downloads.part_file import BLOCK, bytes_there
from localllm.core.downloads.queue import PARTS_FOLDER
from localllm.errors import Cancelled, HubError, LocalLLMError
from localllm.errors import DownloadError as Refused
from localllm.progress import Progress
from tests.core.downloads.conftest import content_of, remote
from tests.hub_server import Fault, HubFile

FULL = [pytest.mark.torture, pytest.mark.timeout(3600)]


def counts(few, many):
    return [few, pytest.param(many, marks=FULL)]


def counting(server):
    """Return a list that collects how many bytes of file content were handed to the network."""
    sent = []
    handler = server._servers[1].RequestHandlerClass
    write = handler._write

    def counted(self, raw):
        sent.append(len(raw))
        write(self, raw)

    handler._write = counted
    return sent


def command_of(setting, home, size, sha256):
    module = "tests.core.downloads.killed_child"
    return [sys.executable, "-m", module, setting.server.url, str(home), str(size), sha256]


def kill_once(command, generator):
    """Start a download and kill it at a random moment; return whether it was still running."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(generator.uniform(0, 0.6))
    running = child.poll() is None
    child.kill()
    child.communicate()
    return running


def kept_bytes(home, size):
    """Return what the notes beside the part file say is there."""
    if (home / "models" / "m.gguf").exists():
        return size
    return max((bytes_there(work, 0, size) for work in (home / "models" / PARTS_FOLDER).glob("*")), default=0)


@pytest.mark.parametrize("kills", counts(2, 200))
def test_kill_minus_nine(setting, tmp_path, kills):
    """0 corrupt accepted, at most 16 MiB fetched twice a kill, 0 orphans at the next start."""
    generator, twice, home, size = random.Random(7), [], tmp_path / "home", 48 * 2**20
    setting.content = content_of(7, size)
    setting.serve("m.gguf", setting.content)
    command = command_of(setting, home, size, hashlib.sha256(setting.content).hexdigest())
    sent, target = counting(setting.server), home / "models" / "m.gguf"
    while len(twice) < kills:
        target.unlink(missing_ok=True)
        setting.server.rate = 12 * 2**20  # of each connection
        while len(twice) < kills:
            before, already = kept_bytes(home, size), sum(sent)
            if not kill_once(command, generator) or target.exists():
                break
            twice.append(sum(sent) - already - (kept_bytes(home, size) - before))
        assert not target.exists() or target.read_bytes() == setting.content
        setting.server.rate = None
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.stdout.split() == ["begun", "done"], result.stderr
        assert target.read_bytes() == setting.content
        assert not (home / "models" / PARTS_FOLDER).exists()
    mean, worst = sum(twice) / len(twice) / 2**20, max(twice) / 2**20
    print(f"\n{kills} kills, fetched twice a kill: mean {mean:.1f} MiB, worst {worst:.1f} MiB")
    assert worst <= 16


def corrupt(part, content, generator):
    """Damage a part file in one of five ways; return which."""
    kind = generator.choice(["bit", "zeros", "swap", "short", "other"])
    raw = bytearray(part.read_bytes())
    match kind:
        case "bit":
            raw[generator.randrange(len(raw))] ^= 1 << generator.randrange(8)
        case "zeros":
            length = min(len(raw), generator.choice([4096, 65536, 2**20, 4 * 2**20]))
            at = generator.randrange(len(raw) - length + 1)
            raw[at : at + length] = bytes(length)
        case "swap":
            one, other = generator.sample(range(len(raw) // BLOCK), 2)
            for at, taken in ((one, other), (other, one)):
                raw[at * BLOCK : (at + 1) * BLOCK] = content[taken * BLOCK : (taken + 1) * BLOCK]
        case "short":
            del raw[generator.randrange(len(raw)) :]
        case _:
            raw[:] = generator.randbytes(len(raw))
    part.write_bytes(raw)
    return kind


@pytest.mark.parametrize("count", counts(8, 1000))
def test_corruptions_of_what_is_there_are_found(setting, count):
    """On the disk before the last check, or already under its name: never accepted, never called right."""
    generator, found = random.Random(11), {}
    setting.content = content_of(12, 4 * 2**20 + 77)
    setting.serve("m.gguf", setting.content)
    for number in range(count):
        setting.target.unlink(missing_ok=True)
        if number % 2:
            setting.fetch()
            kind = corrupt(setting.target, setting.content, generator)
            setting.fetch(setting.request(replace=True))
        else:
            leave_whole_part(setting)
            kind = corrupt(setting.work / "0.part", setting.content, generator)
            setting.fetch()
        assert setting.target.read_bytes() == setting.content, kind
        found[kind] = found.get(kind, 0) + 1
    print("\ncorruptions found:", found)
    assert sum(found.values()) == count


def leave_whole_part(setting):
    """Fetch everything, and stop before the file gets its name."""
    setting.fetch()
    part = setting.work / "0.part"
    setting.target.rename(part)
    identity = {
        "repo": "u/m",
        "commit": "a" * 40,
        "file": "m.gguf",
        "size": len(setting.content),
        "etag": "",
        "block": BLOCK,
    }
    import json

    import xxhash

    sums = [
        xxhash.xxh3_64_intdigest(setting.content[at : at + BLOCK]).to_bytes(8, "little")
        for at in range(0, len(setting.content), BLOCK)
    ]
    (setting.work / "0.blocks").write_bytes(b"".join(sums))
    sha256 = hashlib.sha256(setting.content).hexdigest()
    (setting.work / "0.state.json").write_text(json.dumps(identity | {"sha256": sha256}))


@pytest.mark.parametrize("count", counts(6, 1000))
def test_corruptions_on_the_way_are_found(setting, count):
    generator = random.Random(13)
    size = 2**20 + 99
    setting.content = content_of(14, size)
    setting.serve("m.gguf", setting.content)
    for _ in range(count):
        setting.target.unlink(missing_ok=True)
        setting.server.fault = Fault("wrong_byte", where="signed", at=generator.randrange(size), times=1)
        setting.fetch()
        assert setting.target.read_bytes() == setting.content


def random_fault(generator, size):
    kind = generator.choice(
        ["status", "status", "portal", "cut", "stall", "ignore_range", "wrong_range", "wrong_byte", "gzip", "reset", "slow", "new_version"]
    )  # fmt: skip
    return Fault(
        kind,
        where=generator.choice(["/resolve/", "signed", "m.gguf"]),
        at=generator.randrange(size),
        times=generator.choice([1, 1, 2, 3]),
        status=generator.choice([429, 500, 502, 503, 504, 408, 403, 404]),
        retry_after=generator.choice([None, None, "1"]),
        delay=0.005,
    )


@pytest.mark.parametrize("count", counts(8, 500))
def test_network_faults_end_with_the_right_file_or_a_sentence(setting, count):
    generator, right, said = random.Random(17), 0, {}
    setting.content = content_of(15, 2**21 + 3)
    setting.serve("m.gguf", setting.content)
    setting.stall = 0.3
    for _ in range(count):
        setting.target.unlink(missing_ok=True)
        setting.server.fault = random_fault(generator, len(setting.content))
        kind = setting.server.fault.kind
        try:
            setting.fetch()
        except LocalLLMError as error:
            said.setdefault(f"{kind}: {error}", []).append(1)
        else:
            assert setting.target.read_bytes() == setting.content
            right += 1
    print(f"\n{count} faults: right file {right}, clear message {count - right}")
    for sentence, times in said.items():
        print(f"  {len(times)} × {sentence}")


@pytest.mark.parametrize("count", counts(3, 50))
def test_changed_versions_are_never_spliced(setting, count):
    """The content, its ETag, or the commit changes while the first part is on the disk."""
    generator = random.Random(19)
    setting.server.rate = 10 * 2**20
    for number in range(count):
        setting.target.unlink(missing_ok=True)
        lfs = bool(number % 3)
        first, second = content_of(number), content_of(-number - 1)
        setting.repo.files["m.gguf"] = HubFile(first, lfs=lfs)
        request = setting.request(remote("m.gguf", first, lfs=lfs))
        progress = stop_or_change(setting, generator, HubFile(second, lfs=lfs), change=number % 2 == 0)
        with contextlib.suppress(Cancelled, Refused):
            setting.fetch(request, progress)
        setting.repo.files["m.gguf"] = HubFile(second, lfs=lfs)
        with contextlib.suppress(Refused):
            setting.fetch(request)
        if setting.target.exists():
            assert setting.target.read_bytes() in (first, second)
            if lfs:
                assert setting.target.read_bytes() == first


def stop_or_change(setting, generator, new, *, change):
    share = generator.uniform(0.1, 0.8)

    def listen(done, total, _note):
        if done >= share * total:
            if change:
                setting.repo.files["m.gguf"] = new
            else:
                progress.cancel()

    progress = Progress(listen)
    return progress


HOSTILE = [
    "../m.gguf", "../../m.gguf", "a/../../m.gguf", "/etc/m.gguf", "//host/share/m.gguf", "C:/m.gguf", "C:m.gguf", "c:\\m.gguf",
    "..\\m.gguf", "a\\..\\..\\m.gguf", "\\\\host\\share\\m.gguf", "\\m.gguf", "nul", "NUL.gguf", "con.gguf", "COM1", "com1.gguf",
    "lpt9.gguf", "aux", "prn.gguf", "m.gguf:ads", "m.gguf::$DATA", "a:b/m.gguf", "m.gguf.", "m.gguf ", " m.gguf", "a./m.gguf",
    "a /m.gguf", ".", "..", "", "a//m.gguf", "./m.gguf", "a/./m.gguf", "m\0.gguf", "m\n.gguf", "m\r.gguf", "m\x1b[2J.gguf",
    "m\u202egguf.exe", "m\u200b.gguf", "m\ufeff.gguf", "m?.gguf", "m*.gguf", "m|.gguf", "m<.gguf", "m>.gguf", 'm".gguf',
    "CONIN$", "conout$.gguf", "CLOCK$", "a/" * 20 + "m.gguf", "x" * 300 + ".gguf", "ü" * 150 + ".gguf", "PROGRA~1", "a~1.ggu",
    "~/m.gguf/..", "%2e%2e/../m.gguf", "..%2f/../m.gguf", "\ud800.gguf", "m\x7f.gguf", "com¹.gguf", "lpt².gguf",
]  # fmt: skip


@pytest.mark.parametrize("count", counts(len(HOSTILE), 120))
def test_hostile_names_write_nothing_outside(setting, tmp_path, count):
    generator = random.Random(23)
    names = [*HOSTILE, *(f"{generator.choice(['a', 'b/c', '..', '.'])}/{name}" for name in HOSTILE)][:count]
    assert len(names) == count
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(setting.folder)}
    refused = 0
    for name in names:
        try:
            setting.fetch(setting.request(dataclasses.replace(remote("x", b"x"), name=name)))
        except HubError as error:
            refused += "skipped" in str(error)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(setting.folder)} == outside
    assert refused == count
    assert not any(path.is_file() for path in setting.folder.rglob("*"))


def test_a_link_in_the_folder_is_not_followed(setting, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    setting.folder.mkdir()
    (setting.folder / "q").symlink_to(outside)
    file = setting.serve("q/m.gguf", content_of(3))
    with pytest.raises(HubError, match="leads elsewhere"):
        setting.fetch(setting.request(file))
    assert list(outside.iterdir()) == []
