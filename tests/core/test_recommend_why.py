from dataclasses import replace

import pytest

from localllm.core.fit import budgets_of, place_within, with_cache
from localllm.core.hardware.gpu_table import GpuTable
from localllm.core.recommend import Situation, Wish, choices_of, explain_choice, recommend
from tests.core import machines
from tests.core.machines import memory

TABLE = GpuTable.load()
EVERY = pytest.mark.parametrize("machine", machines.EVERY.values(), ids=machines.EVERY.keys())


def explained(machine, catalogue, choice, wish=None):
    return explain_choice(Situation.of(machine, catalogue, wish or Wish()), choice, table=TABLE)


def kinds(why):
    return {change.kind: change for change in why.changes}


@EVERY
def test_a_pick_is_explained_in_full(catalogue, machine):
    best = recommend(machine, catalogue, Wish()).best
    why = explained(machine, catalogue, best)
    assert sum(part.size for part in why.parts) == best.memory.total
    assert why.evidence == best.model.quality
    assert all(entry.source for entry in why.evidence)
    assert "tokens/s" in str(why.speed)
    assert best.quant in str(why.quality[1])
    for neighbour in why.neighbours:
        assert str(neighbour.choice.pace)[:2].strip(".")
        assert neighbour.choice.model.name in str(neighbour.sentence) or neighbour.choice.model == best.model
    assert "{" not in "".join(str(change.sentence) for change in why.changes)


@EVERY
def test_what_is_said_would_change_it_does(catalogue, machine):
    """Each change that can be asked for keeps its word when it is asked for."""
    rows = recommend(machine, catalogue, Wish()).ranked
    refused = [row for row in rows if row.verdict == "does_not_fit"][:3]
    for row in (rows[0], *refused):
        for change in explained(machine, catalogue, row).changes:
            if change.kind in ("context", "kv_type"):
                again = {c.quant: c for c in choices_of(machine, catalogue, row.model, change.wish)}[
                    row.quant
                ]
                if change.kind == "kv_type":
                    assert again.memory.kv < row.memory.kv
                else:
                    assert again.verdict != "does_not_fit"


def test_neighbours_are_one_step_away(catalogue):
    choice = {
        c.quant: c for c in choices_of(machines.RTX_4090, catalogue, catalogue.model("qwen3-8b"), Wish())
    }
    why = explained(machines.RTX_4090, catalogue, choice["Q5_K_M"])
    steps = {neighbour.kind: neighbour.choice for neighbour in why.neighbours}
    assert (steps["larger_file"].quant, steps["smaller_file"].quant) == ("Q6_K", "Q4_K_M")
    assert steps["better_model"].quality.score > choice["Q5_K_M"].quality.score
    assert steps["smaller_model"].memory.total < choice["Q5_K_M"].memory.total
    assert "points more" in str(next(n.sentence for n in why.neighbours if n.kind == "larger_file"))


def test_the_longest_context_is_the_longest(catalogue):
    model = catalogue.model("qwen3-8b")
    choice = next(c for c in choices_of(machines.RTX_4060, catalogue, model, Wish()) if c.quant == "Q4_K_M")
    change = kinds(explained(machines.RTX_4060, catalogue, choice))["context"]
    length = change.wish.context_length
    assert 8192 < length < model.context_length
    budgets = budgets_of(machines.RTX_4060)
    settings = replace(choice.settings.fit, context_length=length)
    placed = [
        place_within(budgets, model.shape, choice.size, replace(settings, context_length=tokens))
        for tokens in (length, length + 1024)
    ]
    assert placed[0][0].kind == "gpu"
    assert placed[1][0].gpu_layers < placed[0][0].gpu_layers or placed[1][2] != choice.verdict


def test_what_is_missing_is_named(catalogue):
    huge = next(
        r for r in recommend(machines.LAPTOP, catalogue, Wish()).ranked if r.verdict == "does_not_fit"
    )
    changes = kinds(explained(machines.LAPTOP, catalogue, huge))
    assert "of main memory would hold it" in str(changes["memory"].sentence)
    assert changes["memory"].what_if.memory > machines.LAPTOP.memory.total
    assert changes["gpu"].what_if.gpu
    full = replace(machines.REFERENCE, memory=memory(8, 0.4))
    best = recommend(full, catalogue, Wish()).best
    assert "must be free" in str(kinds(explained(full, catalogue, best))["close_programs"].sentence)


def test_an_8_bit_cache_only_where_it_buys_the_context(catalogue):
    roomy = choices_of(machines.RTX_4090, catalogue, catalogue.model("qwen3-8b"), Wish(context_length=32768))
    assert {choice.settings.kv_type_k for choice in roomy} == {"f16"}
    tight = choices_of(machines.RTX_4060, catalogue, catalogue.model("qwen3-8b"), Wish(context_length=20480))
    by_quant = {choice.quant: choice for choice in tight}
    packed = [choice for choice in tight if choice.settings.kv_type_k == "q8_0"]
    assert packed
    wide = {
        choice.quant: choice
        for choice in choices_of(
            machines.RTX_4060,
            catalogue,
            catalogue.model("qwen3-8b"),
            Wish(context_length=20480, kv_type="f16"),
        )
    }
    order = ("fits", "tight", "partly_on_cpu", "needs_closing_apps", "does_not_fit")
    for choice in packed:
        assert order.index(choice.verdict) < order.index(wide[choice.quant].verdict)
    why = explained(machines.RTX_4060, catalogue, packed[0], Wish(context_length=20480))
    assert any("8 bits" in str(sentence) for sentence in why.settings)
    assert by_quant


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_the_cache_that_was_asked_for(catalogue, kind):
    for row in recommend(machines.RTX_4090, catalogue, Wish(kv_type=kind)).ranked:
        lengths = (row.model.shape.key_length, row.model.shape.value_length)
        expected = kind if all(length % 32 == 0 for length in lengths) else "f16"
        assert row.settings.kv_type_k == row.settings.kv_type_v == expected


def test_no_quantized_cache_where_llama_cpp_refuses_it(catalogue):
    shape = replace(catalogue.model("qwen3-8b").shape, key_length=80, value_length=80)
    settings = choices_of(machines.RTX_4090, catalogue, catalogue.model("qwen3-8b"), Wish())[0].settings.fit
    assert with_cache(shape, settings, "q8_0") == settings
    assert with_cache(shape, settings, "bf16").kv_type_k == "bf16"


def test_large_pieces_of_a_prompt_where_weights_are_copied(catalogue):
    best = recommend(machines.RTX_4060, catalogue, Wish()).best
    assert best.placement.kind == "experts_on_cpu"
    assert best.settings.ubatch == 2048
    assert recommend(machines.REFERENCE, catalogue, Wish()).best.settings.ubatch == 512


def test_a_least_speed_is_kept(catalogue):
    for least in (2.0, 20.0, 60.0):
        found = recommend(machines.RTX_4060, catalogue, Wish(least_speed=least))
        assert found.best.pace >= least
    slow = recommend(machines.LAPTOP, catalogue, Wish(least_speed=1e5))
    assert slow.best is None
    assert "you asked for 100,000" in str(slow.ranked[0].why_not)


def test_embedding_models_are_loaded_whole(catalogue):
    rows = recommend(machines.RTX_4090, catalogue, Wish("embedding", 8192)).ranked
    for row in rows:
        settings = row.settings
        assert settings.embeddings
        assert settings.outputs_max == 0
        assert settings.ubatch == (settings.context_length if row.model.shape.is_encoder else 512)
        assert row.memory.output > 0
