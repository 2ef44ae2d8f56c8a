from dataclasses import replace

from localllm.core.evaluate.groups import group_results, key_of
from tests.core.evaluate.test_kept import BASE, result


def test_what_has_another_reference_text_or_length_is_another_group():
    one = result("One", "1" * 64)
    others = [
        replace(one, text_hash="u" * 64),
        replace(one, figures=replace(one.figures, chunks=9)),
        replace(one, base=replace(BASE, hash="c" * 64)),
    ]
    groups = group_results([one, result("Two", "2" * 64, size=200), *others])
    assert [len(group.rows) for group in groups] == [3, 2, 2, 2]
    assert [row.model.name for row in groups[0].rows] == ["Two", "One", "Reference"]
    assert [group.key for group in groups] == [key_of(one), *(key_of(other) for other in others)]


def test_only_what_has_the_references_cache_is_in_the_chart():
    plain, cached = result(), result(kv_type_k="q8_0", kv_type_v="q4_0")
    (group,) = group_results([cached, plain])
    assert [(row.cache, row.point is not None) for row in group.rows] == [
        ("q8_0/q4_0", False),
        ("f16/f16", True),
        ("f16/f16", True),
    ]
    assert [point.is_base for point in group.points] == [False, True]


def test_caches_of_one_model_are_ordered_by_what_they_cost():
    itself = replace(BASE, name="Itself", hash="a" * 64)
    dear = result(base=itself, kv_type_k="q4_0", kv_type_v="q4_0")
    mean = dear.figures.comparison.divergence.mean
    cheap_divergence = replace(dear.figures.comparison.divergence, mean=replace(mean, value=mean.value / 2))
    figures = replace(dear.figures, comparison=replace(dear.figures.comparison, divergence=cheap_divergence))
    cheap = replace(dear, figures=figures, kv_type_k="q8_0", kv_type_v="q8_0")
    (group,) = group_results([dear, cheap])
    assert group.kind == "caches"
    assert [row.cache for row in group.rows] == ["q8_0/q8_0", "q4_0/q4_0"]
    assert group.points == ()


def test_without_a_reference_there_are_perplexities():
    alone = replace(result(), base=None, figures=replace(result().figures, comparison=None))
    (group,) = group_results([alone])
    assert (group.kind, group.base, group.points) == ("plain", None, ())
    assert [row.result for row in group.rows] == [alone]


def test_of_a_file_that_was_made_anew_the_newest_counts():
    newest, older = result("Same", "1" * 64, size=310), result("Same", "2" * 64, size=300)
    (group,) = group_results([newest, older])
    assert [row.model.size for row in group.rows] == [310, BASE.size]
    assert [point.size for point in group.points] == [310, BASE.size]
