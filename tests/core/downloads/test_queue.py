"""The queue: order, pause, restart, other programs, full disks."""

import contextlib
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from localllm.core.downloads import queue as queue_module
from localllm.core.downloads.arrivals import Arrivals
from localllm.core.downloads.queue import PARTS_FOLDER, DownloadQueue
from localllm.core.downloads.records import Removable
from localllm.core.downloads.store import DownloadStore
from localllm.core.library import Library
from localllm.errors import Cancelled, NotEnoughDisk, StoreError
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from tests.core.downloads.conftest import content_of
from tests.gguf_files import LLAMA, container, tensor
from tests.hub_server import Fault


@pytest.fixture
def open_queue(setting, tmp_path):
    """Return a function that opens the queue as a program does; all are closed at the end."""
    opened = []

    def open_(take=lambda path, origin: setting.placed.append((path, origin)), **options):
        queue = DownloadQueue(tmp_path / "downloads.db", setting.hub, take, **options)
        opened.append(queue)
        return queue

    yield open_
    for queue in opened:
        queue.close()


def wait_for(queue, number, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        entry = next((entry for entry in queue.downloads() if entry.id == number), None)
        if condition(entry):
            return entry
        assert time.monotonic() < deadline, entry
        time.sleep(0.01)


def is_in(state):
    return lambda entry: entry is not None and entry.state == state


def parts_of(setting):
    return list((setting.folder / PARTS_FOLDER).glob("*/*"))


def assert_no_parts(setting):
    """They go right after the entry is done."""
    deadline = time.monotonic() + 30
    while (setting.folder / PARTS_FOLDER).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (setting.folder / PARTS_FOLDER).exists()


def test_one_after_the_other_in_order(setting, open_queue):
    queue, order = open_queue(), []
    files = [setting.serve(f"{name}.gguf", content_of(name, 2**20)) for name in "abc"]
    first, second, third = (queue.add(setting.request(file)).id for file in files)
    queue.move(third, first)
    assert [entry.id for entry in queue.downloads()] == [third, first, second]
    queue.observe(
        lambda entries: order.extend(e.id for e in entries if e.state == "running" and e.id not in order)
    )
    queue.start()
    wait_for(queue, second, is_in("done"))
    assert order == [third, first, second]
    assert [path.name for path, _ in setting.placed] == ["c.gguf", "a.gguf", "b.gguf"]
    assert_no_parts(setting)
    before = queue.downloads()
    finished = queue.forget_finished()
    assert queue.downloads() == []
    queue.put_back(finished)
    again = queue.downloads()
    assert [(e.request, e.state, e.done) for e in again] == [(e.request, e.state, e.done) for e in before]
    assert [e.key for e in again] == [e.key for e in before]


def test_pause_and_resume(setting, open_queue):
    setting.server.rate = 2 * 2**20
    queue = open_queue()
    number = queue.add(setting.request()).id
    queue.start()
    running = wait_for(queue, number, lambda e: e.state == "running" and e.done > 2**20)
    queue.pause(number)
    paused = wait_for(queue, number, is_in("paused"))
    assert paused.done >= running.done - 2**20
    later = queue.add(setting.request(setting.serve("later.gguf", content_of(2, 2**16)))).id
    wait_for(queue, later, is_in("done"))
    assert queue.downloads()[0].state == "paused", "the queue has passed over it"
    setting.server.rate = None
    queue.resume(number)
    wait_for(queue, number, is_in("done"))
    assert setting.target.read_bytes() == setting.content


def test_speed_and_time_left(setting, open_queue):
    setting.server.rate = 2**20
    queue, seen = open_queue(), []
    queue.observe(seen.extend)
    number = queue.add(setting.request()).id
    queue.start()
    entry = wait_for(queue, number, lambda e: e.state == "running" and e.speed > 0 and e.done > 3 * 2**20)
    assert 2**19 < entry.speed < 12 * 2**20
    assert entry.seconds_left == pytest.approx((entry.request.size - entry.done) / entry.speed)
    wait_for(queue, number, is_in("done"))
    assert any(entry.speed > 0 for entry in seen)


def test_cancel_removes_what_arrived(setting, open_queue):
    setting.server.rate = 2**20
    queue = open_queue()
    number = queue.add(setting.request()).id
    queue.start()
    wait_for(queue, number, lambda e: e.state == "running" and e.done > 0)
    assert parts_of(setting)
    queue.cancel(number)
    wait_for(queue, number, lambda e: e is None)
    assert_no_parts(setting)


def test_it_goes_on_by_itself_after_a_restart(setting, open_queue):
    setting.server.rate = 2 * 2**20
    queue = open_queue()
    number = queue.add(setting.request()).id
    queue.start()
    wait_for(queue, number, lambda e: e.done > 2**20)
    queue.close()
    setting.server.rate = None
    again = open_queue()
    assert again.downloads()[0].state == "queued"
    again.start()
    wait_for(again, number, is_in("done"))
    assert setting.target.read_bytes() == setting.content


def test_the_same_request_is_one_entry(setting, open_queue):
    queue = open_queue()
    first = queue.add(setting.request())
    queue.pause(first.id)
    again = queue.add(setting.request())
    assert (again.id, again.state) == (first.id, "queued")
    assert len(queue.downloads()) == 1


def test_a_failure_is_said_and_the_next_one_goes_on(setting, open_queue):
    queue = open_queue()
    bad = setting.serve("bad.gguf", content_of(8))
    setting.server.fault = Fault("wrong_byte", where="bad.gguf?signed")
    first, second = queue.add(setting.request(bad)).id, queue.add(setting.request()).id
    queue.start()
    wait_for(queue, second, is_in("done"))
    failed = wait_for(queue, first, is_in("failed"))
    assert "other content than its publisher names" in str(failed.note)
    setting.server.fault = None
    queue.resume(first)
    wait_for(queue, first, is_in("done"))


def test_two_programs_one_works_the_other_follows(setting, open_queue):
    setting.server.rate = 2 * 2**20
    window, terminal = open_queue(), open_queue()
    number = window.add(setting.request()).id
    window.start()
    wait_for(window, number, lambda e: e.state == "running" and e.done > 0)
    told = []
    last = terminal.run(number, Progress(lambda done, _total, _note: told.append(done)))
    assert last.state == "done"
    assert told
    assert len(setting.placed) == 1
    assert setting.bytes_asked() == len(setting.content)


def test_another_program_can_pause_it(setting, open_queue):
    setting.server.rate = 2**20
    window, terminal = open_queue(), open_queue()
    number = window.add(setting.request()).id
    window.start()
    wait_for(window, number, lambda e: e.state == "running" and e.done > 0)
    terminal.pause(number)
    wait_for(window, number, is_in("paused"))


def test_stopping_to_follow_does_not_stop_the_download(setting, open_queue):
    setting.server.rate = 2 * 2**20
    window, terminal = open_queue(), open_queue()
    number = window.add(setting.request()).id
    window.start()
    wait_for(window, number, lambda e: e.state == "running")
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        terminal.run(number, progress)
    wait_for(window, number, is_in("done"))


def test_what_does_not_fit_is_not_queued_and_says_what_could_go(setting, open_queue, monkeypatch):
    from localllm.core.downloads import space

    monkeypatch.setattr(space, "free_bytes", lambda _folder: 2**20)
    queue = open_queue(
        removable=lambda: [Removable("Small", 1000), Removable("Right", 10**7), Removable("Huge", 10**9)]
    )
    with pytest.raises(NotEnoughDisk) as caught:
        queue.add(setting.request())
    assert "Deleting Right would free 10 MiB" in str(caught.value.hint)
    assert queue.downloads() == []


def test_a_full_disk_pauses_and_it_goes_on_by_itself(setting, open_queue, monkeypatch):
    from localllm.core.downloads import space

    monkeypatch.setattr(queue_module, "_SPACE_SECONDS", 0.3)
    queue = open_queue()
    number = queue.add(setting.request()).id
    real = space.free_bytes
    monkeypatch.setattr(space, "free_bytes", lambda _folder: 2**20)
    queue.start()
    waiting = wait_for(queue, number, lambda e: e.note is not None)
    assert waiting.state == "queued"
    assert "Not enough space on" in str(waiting.note)
    monkeypatch.setattr(space, "free_bytes", real)
    wait_for(queue, number, is_in("done"))


def test_a_disk_that_goes_in_the_middle_is_said_and_gone_on_with_when_it_is_back(
    setting, open_queue, tmp_path
):
    setting.server.rate = 2**20
    queue = open_queue()
    entry = queue.add(setting.request())
    queue.start()
    wait_for(queue, entry.id, lambda found: found is not None and found.done > 0)
    setting.folder.rename(tmp_path / "unplugged")
    setting.server.rate = None
    failed = wait_for(queue, entry.id, is_in("failed"))
    assert "is not there any more" in str(failed.note)
    assert not setting.folder.exists(), "nothing is made in the place of the disk"
    (tmp_path / "unplugged").rename(setting.folder)
    setting.server.log.clear()
    queue.resume(entry.id)
    wait_for(queue, entry.id, is_in("done"))
    assert setting.target.read_bytes() == setting.content
    assert setting.bytes_asked() < len(setting.content)


def test_orphans_are_swept_and_others_parts_are_not(setting, open_queue, tmp_path):
    queue = open_queue()
    entry = queue.add(setting.request())
    mine = setting.folder / PARTS_FOLDER / f"{queue._prefix}-{entry.key}"
    orphan = setting.folder / PARTS_FOLDER / f"{queue._prefix}-{'0' * 32}"
    foreign = setting.folder / PARTS_FOLDER / f"ffffffff-{'0' * 32}"
    for folder in (mine, orphan, foreign):
        folder.mkdir(parents=True)
        (folder / "0.part").write_bytes(b"x")
    assert queue.sweep() == 1
    assert (mine.exists(), orphan.exists(), foreign.exists()) == (True, False, True)


def test_a_damaged_list_is_kept_aside(setting, open_queue, tmp_path):
    (tmp_path / "downloads.db").write_bytes(b"not a database" * 1000)
    queue = open_queue()
    assert queue.downloads() == []
    queue.add(setting.request())
    (kept,) = tmp_path.glob("downloads.damaged-*.db")
    assert kept.read_bytes().startswith(b"not a database")


def test_two_programs_that_meet_a_damaged_list_set_it_aside_once(setting, tmp_path):
    path = tmp_path / "downloads.db"
    for _ in range(10):
        path.write_bytes(b"not a database" * 1000)
        together = threading.Barrier(4)

        def meet(number, together=together):
            together.wait()
            store = DownloadStore(path)
            folder = setting.folder / str(number)
            store.add(dataclasses.replace(setting.request(), folder=folder))
            store.close()

        with ThreadPoolExecutor(4) as programs:
            list(programs.map(meet, range(4)))
        store = DownloadStore(path)
        assert len(store.all()) == 4, "what one of them wrote has not been set aside by another"
        store.close()
        (kept,) = tmp_path.glob("downloads.damaged-*.db")
        assert kept.read_bytes().startswith(b"not a database")
        for file in tmp_path.glob("downloads*"):
            file.unlink()


def test_a_list_of_a_newer_version_is_refused_and_left_as_it_is(open_queue, tmp_path):
    open_queue().close()
    with contextlib.closing(sqlite3.connect(tmp_path / "downloads.db")) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreError, match="newer LocalLLM") as caught:
        DownloadStore(tmp_path / "downloads.db")
    assert "Update LocalLLM" in str(caught.value.hint)
    assert list(tmp_path.glob("downloads.damaged-*")) == []


def test_every_figure_is_stored(setting, open_queue, tmp_path):
    setting.server.rate = 2**20
    queue = open_queue()
    number = queue.add(setting.request()).id
    queue.start()
    wait_for(queue, number, lambda e: e.done > 2**20)
    deadline = time.monotonic() + 30
    done = 0
    while not done and time.monotonic() < deadline:
        with sqlite3.connect(tmp_path / "downloads.db") as db:
            done = db.execute("SELECT done FROM downloads").fetchone()[0]
        db.close()
    assert done > 0


def test_the_limit_is_shared_and_live(setting, open_queue):
    queue = open_queue()
    queue.set_limit(1.5)
    assert queue.limiter.rate == 1.5 * 2**20
    queue.set_limit(0)
    assert queue.limiter.rate == 0


def model_of(seed, size=5 * 2**20):
    """Return a sound GGUF file with random weights; `pull` hands what it fetched to the library."""
    weights = content_of(seed, size)
    return container(LLAMA, [tensor("a", (size // 4,))], weights)


PULL = """
import sys
from localllm.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


def start_pull(setting, home, *arguments):
    environment = {**os.environ, "LOCALLLM_HOME": str(home), "HF_ENDPOINT": setting.server.url}
    return subprocess.Popen(
        [sys.executable, "-c", PULL, "pull", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def big_disk_or_skip(tmp_path):
    from localllm.core.downloads.space import free_bytes

    if free_bytes(tmp_path) < 2 * 10**9:
        pytest.skip("this disk is too full for a download")


@pytest.mark.usefixtures("big_disk_or_skip")
def test_pull_pauses_at_ctrl_c_and_goes_on(setting, home):

    setting.content = model_of(1, 16 * 2**20)
    setting.serve("m.gguf", setting.content)
    setting.server.rate = 2 * 2**20
    pull = start_pull(setting, home, "u/m", "--json")
    for line in pull.stdout:
        if json.loads(line)["done"] > 6 * 2**20:
            break
    pull.send_signal(signal.SIGINT)
    out, err = pull.communicate(timeout=30)
    assert pull.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["event"] == "paused"
    setting.server.rate = None
    setting.server.log.clear()
    again = start_pull(setting, home, "u/m", "--json")
    out, err = again.communicate(timeout=30)
    assert again.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events[-2:]] == ["file", "done"]
    path = home / "models" / "u" / "m" / "m.gguf"
    assert events[-2]["path"] == str(path)
    assert path.read_bytes() == setting.content
    assert setting.bytes_asked() < len(setting.content)


@pytest.mark.usefixtures("big_disk_or_skip")
def test_pull_into_a_folder_with_its_projector(setting, home, tmp_path):
    setting.repo.files.clear()
    setting.serve("m-Q4_K_M.gguf", model_of(1, 2**20))
    setting.serve("m-Q8_0.gguf", model_of(2, 2**20))
    setting.serve("mmproj-F16.gguf", model_of(3, 2**18))
    setting.serve("mmproj-F32.gguf", model_of(4, 2**19))
    pull = start_pull(setting, home, "u/m:q4_k_m", "--to", str(tmp_path / "here"), "--limit", "100")
    out, err = pull.communicate(timeout=30)
    assert pull.returncode == 0, err
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["m-Q4_K_M.gguf", "mmproj-F16.gguf"]
    assert str(tmp_path / "here" / "m-Q4_K_M.gguf") in out


def test_pull_says_what_there_is(setting, home):
    pull = start_pull(setting, home, "u/m:Q2_K")
    _, err = pull.communicate(timeout=30)
    assert pull.returncode == 1
    assert "It has: m.gguf" in err


@pytest.fixture
def library(home):
    return Library(Paths.for_user(), Settings())


def test_what_the_gate_refuses_lies_nowhere_among_the_models_until_it_is_cancelled(
    setting, open_queue, library
):
    first, second = "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"
    files = [setting.serve(first, model_of(1, 2**20)), setting.serve(second, b"GGUF" + b"\xff" * 1000)]
    queue = open_queue(take=Arrivals(library, lambda _model: pytest.fail("it arrived")).take)
    number = queue.add(setting.request(*files)).id
    queue.start()
    failed = wait_for(queue, number, is_in("failed"))
    (work,) = (setting.folder / PARTS_FOLDER).iterdir()
    assert "not a usable model" in str(failed.note)
    assert f"lies in “{work}” until this download is cancelled" in str(failed.note)
    assert "tell the publisher" in str(failed.note), "downloading it again would not help"
    assert [path for path in setting.folder.iterdir() if path.name != PARTS_FOLDER] == []
    assert sorted(path.name for path in work.glob("*.refused")) == [
        f"0-{first}.refused",
        f"1-{second}.refused",
    ]
    assert queue.sweep() == 0
    setting.server.log.clear()
    queue.resume(number)
    wait_for(queue, number, lambda e: e.state == "failed" and e.note is not None)
    assert setting.server.log == [], "what is there is not asked for again"
    queue.cancel(number)
    wait_for(queue, number, lambda e: e is None)
    assert_no_parts(setting)


def test_a_refused_file_that_lay_there_before_is_left_and_named(setting, open_queue, library):
    file = setting.serve("bad.gguf", b"GGUF" + b"\xff" * 1000)
    target = setting.folder / "bad.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"GGUF" + b"\xff" * 1000)
    queue = open_queue(take=Arrivals(library, lambda _model: None).take)
    number = queue.add(setting.request(file)).id
    queue.start()
    failed = wait_for(queue, number, is_in("failed"))
    assert f"“{target}” can be deleted" in str(failed.note)
    assert target.is_file()


def test_observers_are_called_in_another_thread(setting, open_queue):
    queue, threads = open_queue(), set()
    queue.observe(lambda _entries: threads.add(threading.current_thread()))
    number = queue.add(setting.request()).id
    queue.start()
    wait_for(queue, number, is_in("done"))
    assert threads
    assert threading.current_thread() not in threads
