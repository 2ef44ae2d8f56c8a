import json

import pytest

from localllm.cli.main import run
from tests.adapter_files import make_pairs, write_adapter, write_pairs
from tests.core import machines
from tests.hub_server import HubFile, HubRepo, HubServer

MIB = 2**20


def asked(capsys, *arguments):
    assert run(["fit", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    assert run(["fit", *arguments]) == 1
    said = capsys.readouterr().err.strip()
    assert said
    assert "\n" not in said
    return said


def test_a_model_of_the_library_is_exact(capsys):
    answer = asked(capsys, "SmolLM2-135M-Instruct", "--context", "4096", "--ubatch", "256")
    assert answer["certainty"] == "exact"
    assert answer["memory"]["kv"] == 90 * MIB
    assert answer["memory"]["total"] == sum(device["total"] for device in answer["devices"])
    assert answer["verdict"] == "fits"
    assert answer["settings"]["ubatch"] == 256
    assert answer["budgets"]["now"]["total"] > 0


def test_adapters_take_their_bytes_and_must_fit_the_model(capsys, starter, tmp_path):
    adapter = write_adapter(tmp_path / "styled.gguf", starter, scale=0.02)
    asked_of = ("SmolLM2-135M-Instruct", "--context", "512")
    plain = asked(capsys, *asked_of)["memory"]["total"]
    twice = asked(capsys, *asked_of, "--lora", str(adapter), "--lora", f"{adapter}:0.5")["memory"]["total"]
    assert abs(twice - plain - 2 * adapter.stat().st_size) <= 2
    wrong = write_pairs(tmp_path / "wrong.gguf", make_pairs({"blk.0.attn_q.weight": (1024, 1024)}))
    assert run(["fit", *asked_of, "--lora", str(wrong)]) == 1
    assert "made for another model" in capsys.readouterr().err


def test_a_row_of_the_catalogue_is_computed(capsys):
    answer = asked(capsys, "qwen3-8b:Q5_K_M", "-c", "32768", "--kv-type", "q8_0/q4_0")
    assert (answer["certainty"], answer["quant"]) == ("formula", "Q5_K_M")
    assert answer["memory"]["kv"] == int(36 * 32768 * 8 * 128 * (34 + 18) / 32)


def test_a_file_on_the_hub_is_exact_from_its_header(capsys, monkeypatch, starter, tmp_path):
    content = starter.read_bytes()
    with HubServer() as hub:
        hub.add(HubRepo("maker/Smol-GGUF", {"Smol-Q4_1.gguf": HubFile(content)}))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        remote = asked(capsys, "maker/Smol-GGUF:Q4_1", "-c", "2048")
    local = asked(capsys, str(starter), "-c", "2048")
    assert remote["certainty"] == "exact"
    assert remote["memory"] == local["memory"]


def test_the_explanation_stands_beside_the_figure(capsys):
    assert run(["fit", "llama-3.1-8b-instruct:Q4_K_M", "-c", "8192", "--explain"]) == 0
    said = capsys.readouterr().out
    assert "2 × 32 × 4096 × 8192 × 2" in said
    assert "32 query heads share 8 heads" in said


def test_what_does_not_fit_is_never_the_end(capsys):
    assert run(["fit", "deepseek-r1-0528:Q8_0"]) == 0
    said = capsys.readouterr().out
    assert "It does not fit." in said
    assert "load it anyway" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonesuch",), "nonesuch"),
        (("missing.gguf",), "missing.gguf"),
        (("qwen3-8b:Q9_X",), "Q8_0"),
        (("qwen3-8b", "--kv-type", "q3_0"), "q3_0"),
        (("qwen3-8b", "--kv-type", "q8_0", "--no-flash-attn"), "flash attention"),
        (("qwen3-8b", "--gpu-layers", "many"), "many"),
        (("qwen3-8b", "--gpu-layers", "-3"), "-3"),
        (("qwen3-8b", "--context", "-5"), "-5"),
        (("qwen3-8b", "--context", "0"), "--context"),
        (("qwen3-8b", "--parallel", "0"), "--parallel"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(capsys, monkeypatch, arguments, words):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert words in refused(capsys, *arguments)


def test_a_damaged_file_is_refused_with_its_reason(capsys, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + b"\xff" * 60)
    assert "bad.gguf" in refused(capsys, str(bad)) or "not a usable model" in refused(capsys, str(bad))


def test_offline_a_hub_address_says_so(capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused(capsys, "maker/Model-GGUF:Q4_K_M")


def test_a_longer_context_than_trained_is_said(capsys):
    assert run(["fit", "SmolLM2-135M-Instruct", "-c", "100000", "--json"]) == 0
    captured = capsys.readouterr()
    assert "8192" in captured.err
    assert json.loads(captured.out)["settings"]["context_length"] == 8192


def test_an_encoder_is_judged_as_what_it_is(capsys):
    answer = asked(capsys, "bge-m3")
    assert answer["settings"]["embeddings"]
    assert answer["settings"]["ubatch"] == answer["settings"]["context_length"] == 512
    assert answer["memory"]["output"] == 4 * 512 * (250002 + 1024)
    assert [rule["formula"] for rule in answer["rules_of_thumb"]] == ["0.57·10⁹ × 0.5 × 1.2"]
    assert run(["fit", "bge-m3"]) == 0
    assert "it reads about" in capsys.readouterr().out


def test_a_computed_figure_is_not_called_exact(capsys):
    assert run(["fit", "qwen3-8b", "--explain"]) == 0
    assert "Exact" not in capsys.readouterr().out
    assert run(["fit", "SmolLM2-135M-Instruct", "--explain"]) == 0
    assert "Exact" in capsys.readouterr().out


def test_a_file_that_llama_cpp_could_not_be_asked_about_says_so(capsys, starter, monkeypatch):
    monkeypatch.setattr("localllm.core.estimate.dry_runs.DryRuns.measure", lambda *_: None)
    assert run(["fit", str(starter)]) == 0
    assert "llama.cpp itself could not say" in capsys.readouterr().out


def test_experts_in_main_memory_are_counted_by_layers(capsys, monkeypatch):
    monkeypatch.setattr(
        "localllm.cli.fit.this_machine", lambda _context: machines.with_engine(machines.RTX_4060)
    )
    for flags, layers in ((("-ncmoe", "7"), 7), (("-cmoe",), 48), (("-ngl", "9", "-ncmoe", "-1"), 0)):
        place = asked(capsys, "qwen3-30b-a3b:Q4_K_M", *flags)["placement"]
        assert place["experts_layers_on_cpu"] == layers
    assert 1 < asked(capsys, "qwen3-30b-a3b:Q4_K_M")["placement"]["experts_layers_on_cpu"] < 48
    with pytest.raises(SystemExit):
        run(["fit", "qwen3-30b-a3b:Q4_K_M", "-cmoe", "-ncmoe", "7"])
