"""Which value applies: the level that says something and is nearest to what is done now."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.core.library.model import LoadProfile
from localllm.core.resolution import (
    LOAD_NAMES,
    SAMPLING_NAMES,
    describe_source,
    resolve,
    setting_of,
)
from localllm.engine.protocol import KV_TYPES, PLAIN_KV_TYPES, LoadSettings, Sampling
from localllm.errors import UsageError
from localllm.settings import Settings

settings_values = st.fixed_dictionaries(
    {},
    optional={
        "context_length": st.integers(256, 1_048_576),
        "threads": st.integers(0, 512),
        "gpu_layers": st.integers(-1, 999),
        "kv_type": st.sampled_from(KV_TYPES),
        "flash_attention": st.booleans(),
        "ubatch": st.integers(32, 8192),
        "temperature": st.floats(0, 5),
        "top_k": st.integers(0, 1_000_000),
        "max_tokens": st.integers(-1, 1_000_000),
        "system_prompt": st.text(max_size=20),
    },
)
load_records = st.builds(
    LoadSettings,
    context_length=st.integers(256, 1 << 20),
    threads=st.integers(0, 64),
    kv_type_v=st.sampled_from(KV_TYPES),
    flash_attention=st.booleans(),
)
profiles = st.none() | st.builds(
    LoadProfile,
    name=st.just("P"),
    load=load_records,
    sampling=st.none() | st.builds(Sampling, temperature=st.floats(0, 5), top_k=st.integers(0, 100)),
    system_prompt=st.text(max_size=10),
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 5),
        "seed": st.integers(-1, 99),
        "context_length": st.integers(256, 999),
    },
)


@given(settings_values, profiles, choices)
def test_the_nearest_level_that_says_something_wins(values, profile, chosen):
    settings = Settings().changed(**values)
    found = resolve(settings, profile, chosen)
    for name in (*LOAD_NAMES, *SAMPLING_NAMES, "system_prompt"):
        resolved = found.values[name]
        if name == "flash_attention" and found.load.kv_type_v not in PLAIN_KV_TYPES:
            assert resolved.value
            continue
        assert (resolved.source, resolved.value) == expected(name, settings, profile, chosen)
    assert isinstance(found.load, LoadSettings)
    assert isinstance(found.sampling, Sampling)


def expected(name, settings, profile, chosen):
    if name in chosen:
        return "chat", chosen[name]
    if profile is not None:
        if name in LOAD_NAMES:
            return "profile", getattr(profile.load, name)
        if name in SAMPLING_NAMES and profile.sampling is not None:
            return "profile", getattr(profile.sampling, name)
        if name == "system_prompt" and profile.system_prompt:
            return "profile", profile.system_prompt
    known = "kv_type" if name.startswith("kv_type") else name
    if known in settings.chosen:
        return "settings", settings.chosen[known]
    plain = {**dataclasses.asdict(LoadSettings()), **dataclasses.asdict(Sampling()), "system_prompt": ""}
    return "default", plain[name]


def test_a_reset_brings_what_is_below():
    settings = Settings(temperature=0.5)
    profile = LoadProfile("P", LoadSettings(), Sampling(temperature=0.2))
    found = resolve(settings, profile, {"temperature": 1.5}).values["temperature"]
    levels = []
    while found is not None:
        levels.append((found.source, found.value))
        found = found.below
    assert levels == [("chat", 1.5), ("profile", 0.2), ("settings", 0.5), ("default", 0.8)]


def test_a_quantized_cache_has_flash_attention_whoever_turned_it_off():
    found = resolve(Settings(kv_type="q8_0", flash_attention=False))
    assert found.load.flash_attention
    assert found.values["flash_attention"].source == "settings"
    assert not resolve(Settings(flash_attention=False)).load.flash_attention


def test_defaults_of_the_settings_are_those_of_the_engine():
    plain = resolve(Settings())
    assert (plain.load, plain.sampling, plain.system_prompt) == (LoadSettings(), Sampling(), "")
    for entry in dataclasses.fields(Settings):
        if entry.name in (*LOAD_NAMES, *SAMPLING_NAMES):
            assert entry.default == plain.values[entry.name].value, entry.name


@pytest.mark.parametrize(("said", "source"), [("1", "environment"), ("", "settings")])
def test_the_environment_goes_before_the_setting(monkeypatch, said, source):
    monkeypatch.setenv("HF_HUB_OFFLINE", said)
    assert setting_of(Settings(network="off"), "network").source == source
    assert setting_of(Settings(), "theme").source == "default"
    with pytest.raises(UsageError):
        setting_of(Settings(), "nonesuch")


def test_every_source_has_words():
    sources = ("default", "settings", "profile", "chat", "choice", "command line", "environment")
    assert len({str(describe_source(source)) for source in sources}) == len(sources)
    assert "Code" in str(describe_source("profile", "Code"))
