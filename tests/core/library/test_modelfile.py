import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.library.model import LoadProfile
from localllm.core.library.modelfile import (
    Modelfile,
    as_modelfile,
    as_profile,
    format_modelfile,
    parse_modelfile,
    read_modelfile,
)
from localllm.engine.protocol import LoadSettings, Sampling
from localllm.errors import UsageError

FULL = '''
# a comment
from ./model.gguf
PARAMETER temperature 0.2
parameter num_ctx 16384
PARAMETER stop "<|im_end|>"
PARAMETER stop "User: "
PARAMETER	seed	42
PARAMETER mirostat 1
SYSTEM """You are a pirate.
  # not a comment
Arr."""
TEMPLATE "{{ .Prompt }}"
ADAPTER ./lora.gguf
QUANTIZE Q4_K_M
MESSAGE user Hello there
MESSAGE assistant """two
lines"""
LICENSE MIT
REQUIRES 0.5
'''


def test_every_instruction_is_read():
    assert parse_modelfile(FULL) == Modelfile(
        base="./model.gguf",
        parameters=(
            ("temperature", "0.2"),
            ("num_ctx", "16384"),
            ("stop", "<|im_end|>"),
            ("stop", "User: "),
            ("seed", "42"),
            ("mirostat", "1"),
        ),
        system="You are a pirate.\n  # not a comment\nArr.",
        template="{{ .Prompt }}",
        adapters=("./lora.gguf",),
        quantize="Q4_K_M",
        messages=(("user", "Hello there"), ("assistant", "two\nlines")),
        licences=("MIT",),
    )


def test_it_becomes_a_profile_and_says_what_was_left_out():
    imported = as_profile(parse_modelfile(FULL), "pirate")
    assert imported.profile == LoadProfile(
        "pirate",
        LoadSettings(context_length=16384),
        Sampling(temperature=0.2, seed=42, stop=("<|im_end|>", "User: ")),
        "You are a pirate.\n  # not a comment\nArr.",
        "{{ .Prompt }}",
    )
    said = " ".join(map(str, imported.notices))
    for word in ("mirostat 1", "written for Ollama", "./lora.gguf", "example messages", "Q4_K_M"):
        assert word in said


@pytest.mark.parametrize(
    ("source", "reason"),
    {
        "": "does not say which model",
        "SYSTEM hello": "does not say which model",
        "FROM": "Line 1 of the Modelfile is wrong: it has no value",
        "FROM a\nWHAT x": "Line 2 of the Modelfile is wrong: “WHAT” is no instruction",
        'FROM a\nSYSTEM """never': "Line 2.*never closed",
        'FROM a\n\nSYSTEM "never': "Line 3.*never closed",
        "FROM a\nPARAMETER temperature": "it has no value",
        "FROM a\nMESSAGE robot hi": "“MESSAGE” needs a name and a value",
    }.items(),
)
def test_a_wrong_line_is_named(source, reason):
    with pytest.raises(UsageError, match=reason):
        parse_modelfile(source)


def test_numbers_that_are_none_are_left_out():
    imported = as_profile(Modelfile("m", (("num_ctx", "many"), ("top_k", "9" * 99), ("top_p", "nan"))), "p")
    assert imported.profile.load == LoadSettings()
    assert len(imported.notices) == 3


def test_files_of_any_encoding_and_size(tmp_path):
    path = tmp_path / "Modelfile"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text("FROM modélo\r\nSYSTEM hola", encoding=encoding, newline="")
        assert read_modelfile(path).base == "modélo"
    path.write_bytes(b"FROM \xff")
    with pytest.raises(UsageError, match="cannot be read"):
        read_modelfile(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(UsageError, match="too long"):
        read_modelfile(path)


LINE = st.text(
    st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", exclude_categories=["Cs"])
)
TEXT = st.lists(LINE, max_size=4).map("\n".join).filter(
    lambda value: not any(line.rstrip().endswith('"""') for line in value.split("\n")[:-1])
)  # fmt: skip
WORD = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)


@given(
    st.builds(
        Modelfile,
        base=TEXT.filter(bool),
        parameters=st.lists(st.tuples(WORD, TEXT), max_size=3).map(tuple),
        system=TEXT,
        template=TEXT,
        adapters=st.lists(TEXT, max_size=2).map(tuple),
        quantize=WORD,
        messages=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT), max_size=2).map(tuple),
        licences=st.lists(TEXT, max_size=2).map(tuple),
    )
)
def test_what_is_written_is_read_back(modelfile):
    assert parse_modelfile(format_modelfile(modelfile)) == modelfile


@given(st.text())
def test_any_text_is_read_or_refused(source):
    with contextlib.suppress(UsageError):  # any other error fails the test
        parse_modelfile(source)


def test_what_the_format_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="three quotation marks"):
        format_modelfile(Modelfile("m", system='a """\nb'))


SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0, 2).map(lambda n: round(n, 3)),
    top_k=st.integers(0, 200),
    seed=st.integers(-1, 1 << 30),
    max_tokens=st.integers(-1, 9999),
    stop=st.lists(LINE.filter(bool), max_size=3).map(tuple),
)


@given(st.integers(256, 1 << 20), st.integers(0, 64), SAMPLINGS, TEXT)
def test_a_profile_survives_the_way_there_and_back(context, threads, sampling, system):
    profile = LoadProfile("p", LoadSettings(context, threads), sampling, system)
    back = as_profile(parse_modelfile(format_modelfile(as_modelfile("m", profile))), "p").profile
    assert (back.load, back.sampling or Sampling(), back.system_prompt) == (profile.load, sampling, system)


@pytest.mark.parametrize(
    "parameter",
    [
        "num_ctx -5", "num_ctx 99999999999", "num_gpu -2", "num_batch 0", "temperature nan", "temperature -1",
        "top_p 7", "min_p -0.1", "seed -2", "num_predict -2", "presence_penalty inf",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_left_out_and_said(parameter):
    imported = as_profile(parse_modelfile(f"FROM m\nPARAMETER {parameter}\n"), "p")
    assert imported.profile.load == LoadSettings()
    assert imported.profile.sampling is None
    assert [str(notice) for notice in imported.notices] == [f"The parameter {parameter} was left out."]
