import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.convert.metadata import add_metadata, add_sampling
from localllm.core.convert.naming import NameParts, ParameterCounts, parts_of, title_of
from localllm.gguf.keys import Keys
from tests.core.convert.rebuilt import write_json

BILLION = 10**9
# name, weights, and what llama.cpp's converter makes of it
NAMES = [
    ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, ("Llama-3.2-1B-Instruct", "meta-llama", "Llama-3.2", "Instruct", None, "1B")),
    ("Mixtral-8x7B-Instruct-v0.1", 46_702_792_704, ("Mixtral-8x7B-Instruct-v0.1", None, "Mixtral", "Instruct", "v0.1", "8x7B")),
    ("Qwen3-30B-A3B", 30 * BILLION, ("Qwen3-30B-A3B", None, "Qwen3", None, None, "30B-A3B")),
    ("Phi-3-mini-4k-instruct", 3_821_079_552, ("Phi-3-mini-4k-instruct", None, "Phi-3", "4k-instruct", None, "mini")),
    ("bloom-7b1-q4_0", 7 * BILLION, ("bloom-7b1-q4_0", None, "bloom", None, None, "7.1B")),
    ("./checkpoint", 0, ("checkpoint", None, None, None, None, None)),
    ("My model 7B", 0, ("My model 7B", None, None, None, None, None)),
    ("gpt2", 0, ("gpt2", None, None, None, None, None)),
    ("", 0, ("", None, None, None, None, None)),
    ("smollm2-8k-lc100k-mix1-ep2", 134_515_008, ("smollm2-8k-lc100k-mix1-ep2", None, "smollm2", "8k-lc100k-mix1-ep2", None, None)),
]  # fmt: skip


def written(folder, counts=None):
    keys = Keys()
    add_sampling(keys, folder)
    notes = add_metadata(keys, folder, counts or ParameterCounts(134_515_008, 134_515_008))
    return {key.name.removeprefix("general."): key.value for key in keys}, notes


def checkpoint(parent, name="Tiny-135M-Instruct", card=None, config=None, generation=None):
    folder = parent / name
    folder.mkdir()
    write_json(folder / "config.json", config or {})
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf-8")
    if generation is not None:
        write_json(folder / "generation_config.json", generation)
    return folder


@pytest.mark.parametrize(("name", "weights", "expected"), NAMES)
def test_what_a_name_says(name, weights, expected):
    assert parts_of(name, weights) == NameParts(*expected)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["Llama", "3", "8B", "v0.1", "x", "7b1", "xl", "chat", "4k", "Q4_0"])).map(
        "-".join
    )
)
def test_any_name(name):
    parts = parts_of(name, 8 * BILLION)
    assert parts.full is not None
    assert name.endswith(parts.full)
    title_of(name)


def test_titles():
    assert title_of("smollm2-135M-8k-lc100K-v0.3-2x") == "Smollm2 135M 8k lc100K v0.3 2x".replace(
        "lc100K", "lc100K"
    )
    assert title_of(" GPT-neox  ") == "GPT Neox"


def test_sizes():
    assert [
        ParameterCounts(count).label for count in (999, 134_515_008, 8_030_261_248, 1_235_814_400, 3 * 10**12)
    ] == [
        *("1.0K", "135M", "8.0B", "1.2B", "3.0T"),
    ]
    experts = [
        ("blk.0.ffn_up_exps.weight", (8, 100, 1000)),
        ("blk.0.ffn_up_exps.bias", (8, 100)),
        ("output.weight", (20, 1000)),
    ]
    counts = ParameterCounts.of(experts)
    assert counts == ParameterCounts(820_800, 20_800, 100_000, 8)
    assert counts.label == "8x121K"


def test_a_card_in_full(tmp_path):
    card = """---
license: other
license_name: mine
license_link: LICENSE
language:
- en
- no
tags:
\t- chat
\t- 2024
pipeline_tag: text-generation
model_creator: Somebody
version: 1.5
base_model:
- org/Base-Model-135M-v2
- https://huggingface.co/other/Thing-7B
- https://example.org/x
datasets: org/data-set
---
# Text
license: not this
"""
    keys, notes = written(checkpoint(tmp_path, card=card, config={"_name_or_path": "maker/Some-Model-135M"}))
    assert notes == ()
    assert list(keys.items()) == [
        ("name", "Some Model 135M"),
        ("author", "Somebody"),
        ("version", "1.5"),
        ("organization", "Maker"),
        ("finetune", "Instruct"),
        ("basename", "Some-Model"),
        ("size_label", "135M"),
        ("license", "other"),
        ("license.name", "mine"),
        ("license.link", "LICENSE"),
        ("base_model.count", 3),
        ("base_model.0.name", "Base Model 135M v2"),
        ("base_model.0.version", "v2"),
        ("base_model.0.organization", "Org"),
        ("base_model.0.repo_url", "https://huggingface.co/org/Base-Model-135M-v2"),
        ("base_model.1.name", "Thing 7B"),
        ("base_model.1.organization", "Other"),
        ("base_model.1.repo_url", "https://huggingface.co/other/Thing-7B"),
        ("base_model.2.repo_url", "https://example.org/x"),
        ("dataset.count", 1),
        ("dataset.0.name", "Data Set"),
        ("dataset.0.organization", "Org"),
        ("dataset.0.repo_url", "https://huggingface.co/org/data-set"),
        ("tags", ["chat", "2024", "text-generation"]),
        ("languages", ["en", "no"]),
    ]


def test_the_folder_names_what_nothing_else_does(tmp_path):
    for number, (config, name) in enumerate(
        [({}, "Model"), ({"_name_or_path": "/a/b/c"}, "Model"), ({"_name_or_path": 7}, "Model")]
    ):
        (tmp_path / str(number)).mkdir()
        keys, _ = written(checkpoint(tmp_path / str(number), name="model", config=config))
        assert keys == {"name": name, "size_label": "135M"}


BOMB = (
    "---\na: &a [x, x]\n"
    + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefghij", "bcdefghijk", strict=True))
    + "\n---\n"
)


@pytest.mark.parametrize(
    "card",
    [
        "---\nlicense: [\n---\n",
        "---\nlicense: !!python/object/apply:os.system ['exit 3']\n---\n",
        "---\nlicense: &x a\nname: *x\n---\n",
        "---\nlicense: " + "[" * 5000 + "\n---\n",
        "---\n2024-99-99: 2024-99-99\nlicense: 2024-13-40\n---\n",
        "---\n\x00\n---\n",
        BOMB,
    ],
)
def test_cards_that_cannot_be_read_are_passed_over_and_said(tmp_path, card):
    keys, notes = written(checkpoint(tmp_path, card=card))
    assert keys["name"] == "Tiny 135M Instruct"
    assert [str(note) for note in notes] == [
        "The head of README.md cannot be read; what it says was not taken over."
    ]


@pytest.mark.parametrize(
    "card", ["", "# Text", "---\n- a\n- b\n---\n", "---\nname:\n---\n", "\n---\nname: no\n---\n"]
)
def test_cards_that_say_nothing(tmp_path, card):
    keys, notes = written(checkpoint(tmp_path, card=card))
    assert (keys["name"], notes) == ("Tiny 135M Instruct", ())


def test_values_of_other_kinds_are_passed_over(tmp_path):
    card = "---\nname: {a: 1}\nlicense: [mit, apache-2.0]\ntags: {a: 1}\nlanguage: [en, {a: 1}, true]\nbase_model: [{name: B, url: 3}, 4]\n---\n"
    keys, _ = written(checkpoint(tmp_path, card=card))
    assert keys["name"] == "Tiny 135M Instruct"
    assert keys["license"] == "mit,apache-2.0"
    assert keys["languages"] == ["en"]
    assert "tags" not in keys
    assert [keys[f"base_model.{part}"] for part in ("count", "0.name", "0.url")] == [2, "B", "3"]


def test_sampling(tmp_path):
    generation = {
        "repetition_penalty": 1.1,
        "temperature": 0.6,
        "top_p": 1,
        "top_k": 20.0,
        "do_sample": False,
        "min_p": None,
        "mirostat": True,
        "mirostat_tau": 1e300,
        "penalty_last_n": 2**40,
        "xtc_threshold": "0.1",
    }
    keys, _ = written(checkpoint(tmp_path, generation=generation))
    assert [(name, value) for name, value in keys.items() if name.startswith("sampling")] == [
        ("sampling.top_k", 20),
        ("sampling.top_p", 1),
        ("sampling.temp", 0.6),
        ("sampling.penalty_repeat", 1.1),
    ]


def test_damaged_sampling_parameters_are_none(tmp_path):
    folder = checkpoint(tmp_path)
    (folder / "generation_config.json").write_bytes(b"{")
    assert not any(name.startswith("sampling") for name in written(folder)[0])


YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "url", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = [
    "name",
    "model_name",
    "license",
    "tags",
    "language",
    "base_model",
    "datasets",
    "version",
    "description",
    "finetune",
    "basename",
    "size_label",
    "url",
]


@given(card=st.dictionaries(st.sampled_from(FIELDS), YAML, max_size=5))
def test_any_card(tmp_path_factory, card):
    import yaml

    folder = checkpoint(tmp_path_factory.mktemp("any"), card=f"---\n{yaml.safe_dump(card)}---\n")
    keys, _ = written(folder)
    for value in keys.values():
        assert isinstance(value, (str, int)) or all(isinstance(entry, str) for entry in value)
