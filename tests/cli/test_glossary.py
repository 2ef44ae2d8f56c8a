import json

from localllm.cli.main import run


def test_a_term_is_explained(capsys):
    assert run(["glossary", "kv cache"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("KV cache")
    assert "See also: Context length" in said


def test_terms_are_listed_as_json(capsys):
    assert run(["glossary", "--json"]) == 0
    terms = json.loads(capsys.readouterr().out)["terms"]
    assert {"token", "min-p", "roofline"} <= {term["id"] for term in terms}


def test_levels_are_a_table(capsys):
    assert run(["glossary", "--levels"]) == 0
    said = capsys.readouterr().out
    assert "Q4_K_M" in said
    assert "4.9" in said


def test_an_unknown_term_is_refused(capsys):
    assert run(["glossary", "zebra"]) == 1
    assert "localllm glossary" in capsys.readouterr().err
