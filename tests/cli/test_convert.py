import json

import pytest

from localllm.cli.main import run
from tests.core.convert.tiny import write_tiny


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_checkpoint_is_converted_quantized_and_listed(tmp_path, home, capsys):
    folder = write_tiny(tmp_path / "Tiny-Model")
    assert run(["convert", str(folder), "--quant", "Q8_0", "--json"]) == 0
    events = lines(capsys)
    assert events[0]["event"] == "preview"
    files = [event for event in events if event["event"] == "file"]
    assert [file["type"] for file in files] == ["BF16", "Q8_0"]
    place = home / "models" / "Tiny-Model"
    assert [file["path"] for file in files] == [
        str(place / f"Tiny-Model-{kind}.gguf") for kind in ("BF16", "Q8_0")
    ]
    assert run(["models", "--json"]) == 0
    listed = capsys.readouterr().out
    assert all(file["path"] in listed for file in files)


def test_a_person_reads_the_path_and_a_refusal_in_one_line(tmp_path, capsys):
    folder = write_tiny(tmp_path / "Tiny-Model", config={"architectures": ["XForCausalLM"]})
    assert run(["convert", str(folder)]) == 1
    said = capsys.readouterr()
    assert "XForCausalLM is not supported yet" in said.err
    assert said.err.count("\n") == 1
    folder = write_tiny(tmp_path / "Tiny-Model")
    assert run(["convert", str(folder), "--outtype", "q8_0", "--out", str(tmp_path / "x.gguf")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "x.gguf")


def test_wrong_words_are_refused_before_anything_is_read(tmp_path, capsys):
    folder = write_tiny(tmp_path / "Tiny-Model")
    assert run(["convert", str(folder), "--quant", "Q9_Z"]) == 1
    assert "Q9_Z" in capsys.readouterr().err
    assert run(["convert", str(folder), "--quant", "IQ2_XS"]) == 1
    assert "--imatrix auto" in capsys.readouterr().err
    assert run(["convert", str(folder), "--quant", "Q4_K_M", "--outtype", "q8_0"]) == 1
    assert "quantized already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(["convert", str(folder), "--outtype", "q9"])
