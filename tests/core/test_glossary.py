import json

import pytest

from localllm.core.catalogue import Catalogue
from localllm.core.glossary import LEVEL_TITLES, Glossary, level_cells
from localllm.errors import UsageError
from localllm.paths import Paths, resources_folder

FILE = resources_folder() / "glossary.json"


@pytest.fixture(params=["en", "es"])
def glossary(request):
    return Glossary.load(FILE, request.param)


def test_every_term_is_explained_in_both_languages():
    rows = json.loads(FILE.read_text(encoding="utf-8"))["terms"]
    for row in rows:
        assert set(row) == {"id", "en", "es", "see"}
        for language in ("en", "es"):
            assert all(row[language][part].strip() for part in ("name", "short", "more")), row["id"]
        assert row["en"]["short"] != row["es"]["short"], row["id"]
    assert len({row["id"] for row in rows}) == len(rows) >= 35


def test_related_terms_are_there(glossary):
    for term in glossary.terms:
        assert term.id not in term.see
        assert all(glossary.get(name) for name in term.see)


@pytest.mark.parametrize(
    ("words", "found"), [("kv", "kv-cache"), ("tg", "token-generation"), ("top p", "top-p"), ("gguf", "gguf")]
)
def test_a_term_is_found_by_its_words(glossary, words, found):
    assert glossary.find(words).id == found


def test_what_is_not_there_is_said(glossary):
    with pytest.raises(UsageError, match="zebra"):
        glossary.find("zebra")


def test_what_explanations_mention_is_found_after_names():
    found = Glossary.load(FILE, "en").search("temperature")
    assert found[0].id == "temperature"
    assert "sampling" in [term.id for term in found[1:]]


def test_levels_come_from_the_table_of_quantizations(glossary):
    levels = {level.name: level for level in glossary.levels(Catalogue.for_user(Paths.for_user()))}
    assert levels["F16"].bits == pytest.approx(16, abs=0.01)
    assert levels["Q8_0"].bits == pytest.approx(8.5, abs=0.01)
    assert 4.7 < levels["Q4_K_M"].bits < 5.0
    assert levels["Q4_K_M"].divergence == 0.028152
    assert levels["Q8_0"].faster == pytest.approx(16 / 8.5, rel=0.01)
    sizes = [level.size for level in levels.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert all(level.when and level.source for level in levels.values())
    assert len(level_cells(levels["Q8_0"])) == len(LEVEL_TITLES)
