"""Files that are written: llama-quantize's, byte for byte; and nothing under a final name that is not whole."""

import hashlib
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.core.library import Library
from localllm.core.quantize.job import Quantizer
from localllm.core.quantize.naming import register, result_name
from localllm.core.quantize.plan import Wish
from localllm.core.quantize.source import open_source
from localllm.core.quantize.types import TYPES
from localllm.core.unfinished import remove_left_over, unfinished_name
from localllm.errors import BrokenResult, Cancelled, LocalLLMError, QuantizationRefused, UsageError
from localllm.gguf import read_header
from localllm.paths import Paths
from localllm.progress import Progress
from localllm.settings import Settings
from tests.core.quantize.small_model import Importance, write_model

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
WITH_IMATRIX = {"importance": Importance(), "importance_label": "words.imatrix.gguf"}
FAST = ("F16", "Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "Q2_K", "MXFP4_MOE", "TQ1_0")
FAST_WITH_IMATRIX = ("Q4_K_M", "Q4_0")
OPTIONS = {
    "tensor_type": Wish(TYPES["Q4_K_M"], tensor_types=(("attn_v", "Q8_0"), (r"blk\.[01]\.ffn_down", "Q5_K"))),
    "output_type": Wish(TYPES["Q4_K_M"], output_type="Q8_0", embedding_type="Q4_0"),
    "pure": Wish(TYPES["Q4_K_M"], pure=True),
    "leave_output": Wish(TYPES["Q4_K_M"], leave_output=True),
    "prune": Wish(TYPES["Q4_K_M"], prune_layers=(1, 2)),
    "prune_imatrix": Wish(TYPES["Q4_K_M"], prune_layers=(1,), **WITH_IMATRIX),
}
x86_only = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the digests are of files made on x86-64"
)


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    yield folder / "Small-made.gguf"
    assert not [path for path in folder.iterdir() if ".part-" in path.name]


def write(quantizer, wish, target):
    """Write and return the digest; the length is as it was predicted."""
    plan = quantizer.plan(wish, Progress())
    made = quantizer.write(plan, target, Progress())
    assert made.size == target.stat().st_size == plan.size
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.unlink()
    return digest


@x86_only
@pytest.mark.parametrize("name", FAST)
def test_equal_to_llama_quantize(quantizer, target, name):
    assert write(quantizer, Wish(TYPES[name]), target) == GOLDEN["plain"][name]


@x86_only
@pytest.mark.parametrize("name", FAST_WITH_IMATRIX)
def test_equal_to_llama_quantize_with_an_importance_matrix(quantizer, target, name):
    assert write(quantizer, Wish(TYPES[name], **WITH_IMATRIX), target) == GOLDEN["imatrix"][name]


@x86_only
@pytest.mark.parametrize("name", OPTIONS)
def test_equal_to_llama_quantize_with_options(quantizer, target, name):
    assert write(quantizer, OPTIONS[name], target) == GOLDEN["options"][name]


@x86_only
@pytest.mark.torture
def test_every_type_is_equal_to_llama_quantizes(quantizer, target, tmp_path):
    odd = open_source(write_model(tmp_path / "Odd-F16.gguf", width=96, layers=2, tied=True), Progress())
    with Quantizer(odd) as of_odd:
        for name in (name for name in TYPES if name != "COPY"):
            wish = Wish(TYPES[name])
            if GOLDEN["plain"][name]:
                assert write(quantizer, wish, target) == GOLDEN["plain"][name], name
            assert write(quantizer, replace(wish, **WITH_IMATRIX), target) == GOLDEN["imatrix"][name], name
            if GOLDEN["odd"][name]:
                assert write(of_odd, wish, target) == GOLDEN["odd"][name], name


def test_pruned_model_has_fewer_layers(quantizer, target):
    plan = quantizer.plan(Wish(TYPES["COPY"], prune_layers=(0, 2)), Progress())
    quantizer.write(plan, target, Progress())
    header = read_header(target)
    assert header.of_architecture("block_count") == 2
    assert {t.name for t in header.tensors if t.name.startswith("blk.")} == {
        t.name for t in plan.source.tensors if t.name.startswith(("blk.0.", "blk.1."))
    }


def test_parts_stay_parts_or_are_joined(tmp_path, target):
    first = write_model(tmp_path / "Split-F16.gguf", shards=2)
    source = open_source(first, Progress())
    assert len(source.headers) == 2
    with Quantizer(source) as quantizer:
        kept = quantizer.plan(Wish(TYPES["Q8_0"], keep_split=True), Progress())
        made = quantizer.write(kept, target, Progress())
        assert [file.name for file in made.files] == [
            "Small-made-00001-of-00002.gguf", "Small-made-00002-of-00002.gguf"
        ]  # fmt: skip
        assert made.size == kept.size
        joined = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        assert quantizer.write(joined, target, Progress()).size == joined.size
    assert len(read_header(target).tensors) == len(kept.tensors)


def test_other_alignments_become_the_usual_one(tmp_path, target):
    source = open_source(write_model(tmp_path / "Aligned-F16.gguf", alignment=64, layers=1), Progress())
    assert source.header.alignment == 64
    with Quantizer(source) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q4_0"]), Progress())
        assert quantizer.write(plan, target, Progress()).size == plan.size
    assert read_header(target).alignment == 32


def test_progress_goes_by_bytes_and_names_tensors(quantizer, target):
    seen = []
    plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
    quantizer.write(plan, target, Progress(lambda *step: seen.append(step)))
    total = sum(tensor.source_size for tensor in plan.tensors)
    done = [step[0] for step in seen if step[1] == total]
    assert done == sorted(done)
    assert done[-1] == total
    assert any("token_embd.weight" in str(step[2]) for step in seen)


def test_existing_file_is_not_overwritten(quantizer, target):
    target.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists already"):
        quantizer.write(quantizer.plan(Wish(TYPES["Q8_0"]), Progress()), target, Progress())
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("moment", [0, 5])
def test_cancelling_leaves_nothing(small, target, moment):
    steps = []

    def stop(*step):
        steps.append(step)
        if len(steps) > moment:
            progress.cancel()

    progress = Progress(stop)
    with Quantizer(small) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q4_K_M"]), Progress())
        with pytest.raises(Cancelled):
            quantizer.write(plan, target, progress)
    assert not list(target.parent.iterdir())


def test_broken_result_is_removed(small, target):
    def refuse(path, _progress):
        assert path.name.startswith(".")
        assert path.is_file()
        raise BrokenResult("It does not work.")

    with Quantizer(small, refuse) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        with pytest.raises(BrokenResult):
            quantizer.write(plan, target, Progress())
    assert not list(target.parent.iterdir())


def test_file_that_is_not_as_planned_is_removed(small, target):
    with Quantizer(small) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        wrong = replace(plan, wish=Wish(TYPES["Q4_0"]))
        with pytest.raises(BrokenResult, match="not the one that was planned"):
            quantizer.write(wrong, target, Progress())
    assert not list(target.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is a POSIX one")
def test_disk_that_refuses_half_way_leaves_nothing(small, target):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Quantizer(small) as quantizer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # the engine's process inherits it
        try:
            plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        with pytest.raises(QuantizationRefused, match="disk is full, or refuses") as error:
            quantizer.write(plan, target, Progress())
    assert "Nothing was written" in str(error.value.safe)
    assert not list(target.parent.iterdir())


def test_too_little_room_is_said_before(quantizer, target):
    plan = replace(quantizer.plan(Wish(TYPES["Q8_0"]), Progress()), size=1 << 60)
    with pytest.raises(QuantizationRefused, match="Not enough space"):
        quantizer.write(plan, target, Progress())


def test_folder_that_is_a_file_is_refused_in_words(quantizer, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
    with pytest.raises(QuantizationRefused, match="Nothing can be written"):
        quantizer.write(plan, tmp_path / "file" / "x.gguf", Progress())


def test_engine_that_dies_is_named_and_replaced(small, target):
    def kill(*_step):
        os.kill(quantizer._engine.pid, signal.SIGKILL)

    with Quantizer(small) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        with pytest.raises(LocalLLMError, match="The engine stopped") as error:
            quantizer.write(plan, target, Progress(kill))
        assert "chats" not in str(error.value.safe)
        quantizer.write(plan, target, Progress())
    assert target.is_file()


def kill_while_writing(source, folder, delay):
    """Run the writing in a process of its own, and kill it so long after its file has appeared."""
    code = (
        "import sys; from pathlib import Path; from localllm.progress import Progress\n"
        "from localllm.core.quantize.job import Quantizer; from localllm.core.quantize.plan import Wish\n"
        "from localllm.core.quantize.source import open_source; from localllm.core.quantize.types import TYPES\n"
        "with Quantizer(open_source(Path(sys.argv[1]), Progress())) as q:\n"
        "    plan = q.plan(Wish(TYPES['Q3_K_M']), Progress())\n"
        "    print('planned', flush=True)\n"
        "    q.write(plan, Path(sys.argv[2]), Progress())\n"
    )
    target = folder / "Small-Q3_K_M.gguf"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(source.path), str(target)], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    deadline = time.monotonic() + 30
    while not any(folder.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    process.communicate()
    return target


def check_kills(small, folder, count):
    chance = random.Random(5)
    for _ in range(count):
        target = kill_while_writing(small, folder, chance.uniform(0, 0.25))
        if target.exists():  # the kill came too late: it must be whole
            assert read_header(target).quant == "Q3_K_M"
            target.unlink()
        remove_left_over(folder)
        deadline = time.monotonic() + 30
        while list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
            remove_left_over(folder)
        assert not list(folder.iterdir())


def test_killed_runs_leave_nothing_under_the_final_name(small, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    check_kills(small, folder, 3)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_kills(small, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    check_kills(small, folder, 100)


def test_files_of_living_processes_are_left_alone(tmp_path):
    own = unfinished_name(tmp_path / "x.gguf")
    own.write_bytes(b"")
    foreign = own.with_name(own.name.replace(f"-{os.getpid()}-", "-4194304-"))
    foreign.write_bytes(b"")
    elsewhere = own.with_name(re.sub(r"part-[0-9a-f]{8}", "part-00000000", foreign.name))
    elsewhere.write_bytes(b"")
    assert remove_left_over(tmp_path) == [foreign]
    os.utime(elsewhere, (0, 0))
    assert remove_left_over(tmp_path) == [elsewhere]
    assert own.exists()


def test_result_goes_into_the_library(small, home):
    paths = Paths.for_user()
    library = Library(paths, Settings())
    target = paths.models / result_name(small, TYPES["Q8_0"])
    with Quantizer(small) as quantizer:
        plan = quantizer.plan(Wish(TYPES["Q8_0"]), Progress())
        model = register(library, plan, quantizer.write(plan, target, Progress()), Progress())
    assert (model.name, model.quant, model.path) == ("Small-Q8_0", "Q8_0", target)


def test_names_carry_one_type(small, tmp_path):
    assert result_name(small, TYPES["Q4_K_M"]) == "Small-Q4_K_M.gguf"
    assert result_name(small, TYPES["Q4_K_M"], 3) == "Small-minus3-Q4_K_M.gguf"
    assert result_name(replace(small, name="a.Q8_0"), TYPES["COPY"]) == "a-F16.gguf"
