import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localllm.core.convert.vocabulary.chat_template import add_chat_templates
from localllm.core.convert.vocabulary.special import find_special_tokens
from localllm.gguf.keys import Keys
from tests.core.convert.rebuilt import write_json

PLAIN = st.none() | st.booleans() | st.integers(-3, 400) | st.sampled_from(["<s>", "</s>", "", "A", "B"])
JSON = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "content", "type"]), inner)
    ),
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "SpecialToken": st.fixed_dictionaries({"id": PLAIN}),
        "Sequence": st.fixed_dictionaries({"id": PLAIN}),
    },
)
PROCESSOR = st.fixed_dictionaries(
    {"type": st.sampled_from(["ByteLevel", "TemplateProcessing", "RobertaProcessing", "Sequence"])},
    optional={
        "single": st.lists(ENTRY | JSON, max_size=4),
        "pair": st.lists(ENTRY | JSON, max_size=6),
        "cls": JSON,
        "sep": JSON,
    },
)
ROLES = [f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "eot", "eom")]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    tokenizer=st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "post_processor": PROCESSOR
            | JSON
            | st.fixed_dictionaries({"processors": st.lists(PROCESSOR) | JSON}),
            "normalizer": JSON
            | st.fixed_dictionaries({"type": st.just("Sequence"), "normalizers": st.lists(JSON)}),
            "added_tokens": JSON | st.lists(st.fixed_dictionaries({"id": PLAIN, "content": PLAIN})),
        },
    ),
    said=st.none() | st.dictionaries(st.sampled_from([*ROLES, "add_bos_token", "add_eos_token"]), JSON),
    config=st.dictionaries(st.sampled_from([f"{role}_id" for role in ROLES] + ["text_config"]), JSON),
)
def test_special_tokens_of_any_json(tokenizer, said, config):
    found = find_special_tokens(tokenizer, said, config, 300)
    assert all(0 <= number < 300 for number in found.ids.values())
    assert all(isinstance(wanted, bool) for wanted in found.added.values())
    keys = Keys()
    found.set_ids(keys)
    found.set_normalizer(keys)


# --- special tokens


def special(text):
    return {"SpecialToken": {"id": text, "type_id": 0}}


A, B = ({"Sequence": {"id": letter, "type_id": 0}} for letter in "AB")


@pytest.mark.parametrize(
    ("processor", "said", "added", "ids"),
    [
        ({"type": "ByteLevel"}, {"add_bos_token": True}, {"bos": False, "eos": False}, {}),
        ({"type": "TemplateProcessing", "single": [special("<s>"), A]}, {"bos_token": "<s>"}, {"bos": True}, {"bos": 1}),
        ({"type": "TemplateProcessing", "single": [special("<s>"), A]}, {"pad_token": "<p>"}, {"bos": True}, {"bos": 1, "pad": 3, "cls": 1}),
        (
            {"type": "TemplateProcessing", "single": [A, special("</s>")]},
            {"eos_token": "<p>"},
            {"eos": True},
            {"eos": 2, "eot": 3},
        ),
        ({"type": "RobertaProcessing", "cls": ["<s>", 1], "sep": ["</s>", 2]}, {"x": 1}, {"bos": True, "eos": True, "sep": True}, {"sep": 2, "cls": 1}),
        (
            {"type": "TemplateProcessing", "single": [special("<s>"), A], "pair": [special("<s>"), A, special("</s>"), B]},
            {"bos_token": "<s>", "sep_token": "</s>"},
            {"bos": True, "sep": True},
            {"bos": 1, "eos": 2, "sep": 2},
        ),
        (
            {"type": "TemplateProcessing", "single": [A, special("</s>")], "pair": [A, special("</s>"), B, special("</s>")]},
            {"eos_token": "</s>"},
            {"eos": True, "sep": False},
            {"eos": 2},
        ),
        (
            {"type": "TemplateProcessing", "single": [A], "pair": [A, special("</s>"), special("</s>"), B]},
            {"eos_token": "</s>"},
            {"sep": True},
            {"eos": 2, "sep": 2},
        ),
    ],
)  # fmt: skip
def test_what_is_put_around_texts(processor, said, added, ids):
    listed = [{"id": number, "content": text} for number, text in ((1, "<s>"), (2, "</s>"), (3, "<p>"))]
    found = find_special_tokens({"post_processor": processor, "added_tokens": listed}, said, {}, 10)
    assert (found.added, found.ids) == (added, ids)


def test_the_normalizers_flags():
    parts = [
        {"type": "Lowercase"},
        {"type": "BertNormalizer", "strip_accents": None, "lowercase": False},
        {"type": "StripAccents"},
    ]
    found = find_special_tokens({"normalizer": {"type": "Sequence", "normalizers": parts}}, None, {}, 10)
    assert found.normalizer == {"lowercase": False, "strip_accents": True}


def test_numbers_of_the_text_part_count_where_the_whole_has_none():
    config = {"bos_token_id": 3, "text_config": {"bos_token_id": 4, "eos_token_id": 5}}
    assert find_special_tokens(None, None, config, 10).ids == {"bos": 3, "eos": 5}


# --- chat templates


def templates(folder, said):
    keys = Keys()
    add_chat_templates(keys, folder, said)
    return {key.name.removeprefix("tokenizer."): key.value for key in keys}


def test_where_chat_templates_come_from(tmp_path):
    assert templates(tmp_path, {"a": 1}) == {}
    write_json(tmp_path / "chat_template.json", {"chat_template": "json"})
    assert templates(tmp_path, {"a": 1}) == {"chat_template": "json"}
    (tmp_path / "chat_template.jinja").write_text("jinja", encoding="utf-8")
    assert templates(tmp_path, {"a": 1}) == {"chat_template": "jinja"}
    assert templates(tmp_path, None) == {}
    assert templates(tmp_path, {"chat_template": "own"}) == {"chat_template": "own"}
    assert templates(tmp_path, {"chat_template": None}) == {}
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool-use.jinja").write_text("tools", encoding="utf-8")
    assert list(templates(tmp_path, {"a": 1}).items()) == [
        ("chat_template.tool_use", "tools"),
        ("chat_templates", ["tool_use"]),
        ("chat_template", "jinja"),
    ]


def test_named_chat_templates(tmp_path):
    listed = [
        {"name": "default", "template": "d"},
        {"name": "ä b", "template": "x"},
        {"name": "rag"},
        "odd",
        {"template": "y"},
        None,
    ]
    assert list(templates(tmp_path, {"chat_template": listed}).items()) == [
        ("chat_template.__b", "x"),
        ("chat_templates", ["__b"]),
        ("chat_template", "d"),
    ]


def test_half_a_character_in_a_template_becomes_a_question_mark(tmp_path):
    assert templates(tmp_path, {"chat_template": "a\ud800b"}) == {"chat_template": "a?b"}
