import contextlib
import filecmp
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from localllm.core.convert.checkpoint import open_checkpoint
from localllm.core.convert.conversion import make_ready, write_file
from localllm.core.convert.job import convert, preview
from localllm.core.convert.plan import make_plan
from localllm.core.convert.source import FolderSource
from localllm.core.smoke_test import smoke_test
from localllm.errors import BrokenResult, Cancelled, CheckpointRefused, UsageError
from localllm.gguf import check_header, read_header
from localllm.progress import Progress
from tests.core.convert.tiny import CONFIG, stored, tiny_weights, write_safetensors, write_tiny


@pytest.fixture
def tiny(tmp_path):
    return write_tiny(tmp_path / "Tiny-Model")


def made_here(folder, output_type, path):
    write_file(make_ready(make_plan(open_checkpoint(folder), output_type)), path, Progress())
    return path


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("output_type", ["f16", "auto"])
def test_the_process_writes_what_was_previewed(tmp_path, tiny, output_type):
    seen = []
    report = convert(
        FolderSource(tiny),
        lambda made: tmp_path / f"{made.output_type}.gguf",
        output_type,
        Progress(),
        on_preview=seen.append,
    )
    path = tmp_path / f"{report.preview.output_type}.gguf"
    assert report.path == str(path)
    assert seen == [report.preview] == [preview(FolderSource(tiny), output_type, Progress())]
    assert report.preview.output_type == ("BF16" if output_type == "auto" else output_type.upper())
    assert path.stat().st_size == report.preview.size
    check_header(read_header(path))
    assert filecmp.cmp(path, made_here(tiny, output_type, tmp_path / "here.gguf"), shallow=False)
    assert not hidden(tmp_path)


def test_weights_are_those_of_the_checkpoint(tmp_path, tiny):
    header = read_header(made_here(tiny, "f32", tmp_path / "m.gguf"))
    wanted = tiny_weights()["model.layers.1.mlp.up_proj.weight"][1]
    tensor = next(tensor for tensor in header.tensors if tensor.name == "blk.1.ffn_up.weight")
    data = (tmp_path / "m.gguf").read_bytes()[header.data_offset + tensor.offset :][: tensor.size]
    np.testing.assert_array_equal(np.frombuffer(data, np.uint32) >> 16, wanted.reshape(-1))


def test_nothing_is_overwritten(tmp_path, tiny):
    (tmp_path / "m.gguf").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        convert(FolderSource(tiny), lambda made: tmp_path / "m.gguf", "f16", Progress())
    assert (tmp_path / "m.gguf").read_text() == "mine"


def test_it_says_what_is_lost_in_f16_and_what_fell_back(tmp_path):
    weights = tiny_weights(dtype="F32")
    weights["model.layers.0.mlp.up_proj.weight"][1][0, :3] = 1e6
    folder = write_tiny(tmp_path / "m", weights=weights)
    report = convert(FolderSource(folder), lambda made: tmp_path / "m.gguf", "f16", Progress())
    assert report.overflows == {"blk.0.ffn_up.weight": 3}
    assert any("BF16 instead" in str(sentence) for sentence in report.sentences())
    odd = {
        f"model.layers.{layer}.mlp.down_proj.weight": ("F32", np.ones((64, 40), np.float32))
        for layer in (0, 1)
    }
    report = convert(
        FolderSource(write_tiny(tmp_path / "n", weights=odd)),
        lambda made: tmp_path / "n.gguf",
        "q8_0",
        Progress(),
    )
    assert report.preview.fallbacks == ("blk.0.ffn_down.weight", "blk.1.ffn_down.weight")
    types = {tensor.name: tensor.type_name for tensor in read_header(tmp_path / "n.gguf").tensors}
    assert (types["blk.0.ffn_down.weight"], types["blk.0.ffn_up.weight"]) == ("F16", "Q8_0")


def test_cancelling_leaves_nothing(tmp_path, small_smollm2):
    out = tmp_path / "out"
    out.mkdir()
    progress = Progress(lambda _done, total, _note: progress.cancel() if total else None)
    with pytest.raises(Cancelled):
        convert(FolderSource(small_smollm2), lambda made: out / "m.gguf", "f16", progress)
    assert not list(out.iterdir())
    assert not psutil.Process().children()


def test_a_disk_that_is_too_small_is_said_before_a_byte_is_written(tmp_path, tiny, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(CheckpointRefused, match="free; the conversion needs"):
        convert(FolderSource(tiny), lambda made: tmp_path / "m.gguf", "f16", Progress())
    assert not list(tmp_path.rglob("*.gguf*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind")
def test_a_disk_that_becomes_full_leaves_nothing(tmp_path, small_smollm2):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "out"
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, hard))
    try:
        with pytest.raises(CheckpointRefused, match="became full"):
            convert(FolderSource(small_smollm2), lambda made: out / "m.gguf", "f16", Progress())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(out.iterdir())


def test_a_converter_that_dies_is_a_sentence(tmp_path, small_smollm2):
    def target(_made):
        for child in psutil.Process().children():
            child.kill()  # while it waits to be told where to write
        return tmp_path / "m.gguf"

    with pytest.raises(CheckpointRefused, match="ended"):
        convert(FolderSource(small_smollm2), target, "f16", Progress())
    assert not list(tmp_path.rglob("*.gguf*"))


CONVERT = """
import sys
from pathlib import Path
from localllm.core.convert.job import convert
from localllm.core.convert.source import FolderSource
from localllm.progress import Progress
out = Path(sys.argv[2])
print("begun", flush=True)
convert(FolderSource(Path(sys.argv[1])), lambda made: out, "f16", Progress(lambda *a: print(a[0], flush=True)))
"""


def kill_once(folder, out, seed):
    """Kill a conversion somewhere, the program or the process that writes; return whether the file has its name."""
    random_ = random.Random(seed)
    program = subprocess.Popen(
        [sys.executable, "-c", CONVERT, str(folder), str(out / "m.gguf")], stdout=subprocess.PIPE, text=True
    )
    program.stdout.readline()
    victims = [psutil.Process(program.pid)]
    if random_.random() < 0.8:
        for _ in range(random_.randint(1, 6)):
            program.stdout.readline()
        with contextlib.suppress(psutil.Error):
            victims += psutil.Process(program.pid).children()
    time.sleep(random_.uniform(0, 0.02))
    with contextlib.suppress(psutil.NoSuchProcess):
        random_.choice(victims).send_signal(signal.SIGKILL)
    program.communicate()
    psutil.wait_procs(victims, timeout=30)
    return (out / "m.gguf").exists()


def kill_often(tmp_path, folder, seeds):
    out = tmp_path / "out"
    whole = made_here(folder, "f16", tmp_path / "whole.gguf")
    for seed in seeds:
        out.mkdir(exist_ok=True)
        if kill_once(folder, out, seed):
            assert filecmp.cmp(out / "m.gguf", whole, shallow=False)
            (out / "m.gguf").unlink()
        assert all(name.startswith(".m.gguf.part-") for name in hidden(out))
    convert(FolderSource(folder), lambda made: out / "m.gguf", "f16", Progress())
    assert [path.name for path in out.iterdir()] == ["m.gguf"]
    assert filecmp.cmp(out / "m.gguf", whole, shallow=False)


def test_killing_leaves_nothing_under_a_final_name(tmp_path, small_smollm2):
    kill_often(tmp_path, small_smollm2, range(2))


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_hundred_kills_leave_nothing_under_a_final_name(tmp_path, small_smollm2):
    kill_often(tmp_path, small_smollm2, range(100))


def test_the_result_is_tried_before_it_has_its_name(tmp_path, tiny):
    tried = []

    def check(path, progress):
        tried.append((path.name, (tmp_path / "m.gguf").exists()))
        smoke_test(path, progress)

    convert(FolderSource(tiny), lambda made: tmp_path / "m.gguf", "f16", Progress(), check=check)
    assert tried[0][0].startswith(".m.gguf.part-")
    assert not tried[0][1]
    assert smoke_test(tmp_path / "m.gguf", Progress()).template == "file"


@pytest.mark.parametrize("broken", ["not a number", "shapes"])
def test_a_broken_result_is_not_kept(tmp_path, broken):
    if broken == "shapes":
        changed = {
            f"model.layers.{layer}.mlp.down_proj.weight": ("F32", np.ones((64, 40), np.float32))
            for layer in (0, 1)
        }
    else:
        changed = {"model.norm.weight": ("F32", np.full(64, np.nan, np.float32))}
    folder = write_tiny(tmp_path / "m", weights=changed)
    out = tmp_path / "out"
    with pytest.raises(BrokenResult, match="does not work"):
        convert(FolderSource(folder), lambda made: out / "m.gguf", "f16", Progress(), check=smoke_test)
    assert not list(out.iterdir())


STACK, WIDTH, INNER = 24, 1024, 1504


def write_experts(folder):
    """Write a checkpoint of one layer with a stack of experts of 222 MB."""
    said = {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_local_experts": STACK,
        "num_hidden_layers": 1,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
    }
    values = np.random.default_rng(1).normal(0, 0.05, (INNER, WIDTH)).astype(np.float32)
    shapes = {"w1": values, "w2": np.ascontiguousarray(values.T), "w3": values}
    made = {
        f"block_sparse_moe.experts.{expert}.{part}": matrix
        for expert in range(STACK)
        for part, matrix in shapes.items()
    }
    made |= {"block_sparse_moe.gate": values[:STACK]}
    made |= {
        f"self_attn.{part}_proj": values[:rows]
        for part, rows in zip("qkvo", (1024, 512, 512, 1024), strict=True)
    }
    made |= {"input_layernorm": values[0], "post_attention_layernorm": values[1]}
    made = {f"model.layers.0.{name}": matrix for name, matrix in made.items()}
    made |= {"model.norm": values[2], "model.embed_tokens": values[: CONFIG["vocab_size"]]}
    write_tiny(folder, config=said)
    bits = {f"{name}.weight": ("BF16", stored(matrix, "BF16")) for name, matrix in made.items()}
    write_safetensors(folder / "model.safetensors", bits)


def test_memory_stays_small_whatever_the_weights(tmp_path):
    write_experts(tmp_path / "moe")
    most = 0

    def watch(*_):
        nonlocal most
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                most = max(most, child.memory_info().rss)

    convert(FolderSource(tmp_path / "moe"), lambda made: tmp_path / "m.gguf", "f16", Progress(watch))
    assert (tmp_path / "m.gguf").stat().st_size > 220e6
    assert 0 < most < 200 << 20
