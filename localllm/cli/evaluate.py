"""`localllm evaluate`: how good a model is on a text, and how far it is from the model it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from localllm.cli.model_flags import chunk_tokens, layers, natural
from localllm.cli.output import Column
from localllm.engine.passes import CHUNK_TOKENS
from localllm.engine.protocol import KV_TYPES, LoadSettings
from localllm.errors import UsageError
from localllm.progress import Progress
from localllm.texts import Bytes, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context, Output
    from localllm.core.evaluate import Evaluation, EvaluationWish
    from localllm.core.evaluate.figures import Comparison
    from localllm.core.library import LibraryModel


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser(
        "evaluate", help="measure a model's perplexity and what its quantization costs", allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="name or path of a GGUF file")
    parser.add_argument(
        "--base", metavar="REFERENCE", help="the model it was made from, in full precision: name or path"
    )
    parser.add_argument("--text", metavar="FILE", type=Path, help="a text of your own (default: LocalLLM's)")
    parser.add_argument(
        "--chunks", type=natural, metavar="N", help="chunks (of 512 tokens) at most; 0: the whole text"
    )
    parser.add_argument(
        "--kv-type",
        metavar="K[/V]",
        default="f16",
        help="type of the cache: without --base the cost of that type itself",
    )
    parser.add_argument(
        "-c", "--ctx-size", type=chunk_tokens, metavar="N", default=CHUNK_TOKENS, help="tokens of a chunk"
    )
    parser.add_argument("-t", "--threads", type=natural, metavar="N", default=0, help="default: all cores")
    parser.add_argument(
        "-ngl", "--gpu-layers", type=layers, metavar="N", default=-1, help="layers on the GPU"
    )
    parser.add_argument("--force", action="store_true", help="load models even if they do not seem to fit")
    parser.add_argument("--results", action="store_true", help="show what was measured before instead")
    parser.add_argument(
        "--clear-references", action="store_true", help="remove the predictions of references that are kept"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Measure and print."""
    if arguments.clear_references:
        return _clear(context, as_json=arguments.json)
    if arguments.results:
        return _show_results(context, as_json=arguments.json)
    from localllm.core.engine_work import EngineWork
    from localllm.core.evaluate import evaluate

    output = context.output
    wish = _wish(arguments, context)
    settings = LoadSettings(threads=arguments.threads, gpu_layers=arguments.gpu_layers)

    def tell(_done: float, _total: float, note: Text | None) -> None:
        if note is not None:
            output.status(output.translate(note))

    result = evaluate(EngineWork.here(context.paths, settings), wish, Progress(tell))
    output.status("")
    if arguments.json:
        output.json(to_json(result))
    else:
        _show(result, context)
    return 0


def to_json(result: Evaluation) -> dict[str, Any]:
    """Return a result as JSON data: divergence in nats per token, sizes in bytes."""
    figures, model = result.figures, result.model
    return {
        "model": model.name,
        "path": model.path,
        "sha256": model.hash,
        "quant": model.quant,
        "size": model.size,
        "tokens_per_second": model.speed,
        "speed_measured": model.speed_measured,
        "base": result.base.name if result.base else None,
        "base_sha256": result.base.hash if result.base else None,
        "kv_type_k": result.kv_type_k,
        "kv_type_v": result.kv_type_v,
        "text": result.text_name,
        "text_sha256": result.text_hash,
        "chunk_tokens": result.chunk_tokens,
        "chunks": figures.chunks,
        "positions": figures.positions,
        "ppl": figures.ppl.value,
        "ppl_error": figures.ppl.error,
        **(_comparison_as_json(figures.comparison) if figures.comparison else {}),
        "seconds": round(result.seconds, 2),
        "engine": result.engine,
    }


def _comparison_as_json(comparison: Comparison) -> dict[str, Any]:
    divergence = comparison.divergence
    return {
        "base_ppl": comparison.base_ppl.value,
        "base_ppl_error": comparison.base_ppl.error,
        "ln_ppl_ratio": comparison.ln_ratio.value,
        "ln_ppl_ratio_error": comparison.ln_ratio.error,
        "correlation": comparison.correlation,
        "kld": {
            "mean": divergence.mean.value,
            "mean_error": divergence.mean.error,
            "median": divergence.median,
            "p90": divergence.p90,
            "p95": divergence.p95,
            "p99": divergence.p99,
            "p999": divergence.p999,
            "max": divergence.max,
            "min": divergence.min,
        },
        "same_top": comparison.same_top.value,
        "same_top_error": comparison.same_top.error,
        "rms_delta_p": comparison.rms_delta_p.value,
        "rms_delta_p_error": comparison.rms_delta_p.error,
        "mean_delta_p": comparison.mean_delta_p.value,
        "mean_delta_p_error": comparison.mean_delta_p.error,
    }


def _wish(arguments: argparse.Namespace, context: Context) -> EvaluationWish:
    from localllm.core.evaluate import DEFAULT_CHUNKS, EvaluationWish
    from localllm.core.imatrix import evaluation_text, read_text_file
    from localllm.core.library import Library

    if not arguments.model:
        raise UsageError(text("Which model?"), hint=text("Name one: localllm evaluate MODEL."))
    library = Library(context.paths, context.settings)
    keys, values = _kv_types(arguments.kv_type)
    return EvaluationWish(
        model=_find(library, arguments.model),
        text=read_text_file(arguments.text) if arguments.text else evaluation_text(),
        base=_find(library, arguments.base) if arguments.base else None,
        chunks=DEFAULT_CHUNKS if arguments.chunks is None else arguments.chunks,
        chunk_tokens=arguments.ctx_size,
        kv_type_k=keys,
        kv_type_v=values,
        anyway=arguments.force,
    )


def _find(library: Any, name: str) -> LibraryModel:
    model: LibraryModel = library.find(name)
    return model


def _kv_types(given: str) -> tuple[str, str]:
    keys, _, values = given.partition("/")
    values = values or keys
    for one in (keys, values):
        if one not in KV_TYPES:
            raise UsageError(
                text("“{name}” is not a type of the cache.", name=one),
                hint=text("Take one of these: {types}.", types=", ".join(KV_TYPES)),
            )
    return keys, values


def _show(result: Evaluation, context: Context) -> None:
    from localllm.core.evaluate import References, explain_figures
    from localllm.core.evaluate.meaning import warnings_of

    output = context.output
    output.say(_heading(result))
    rows = [[row.name, row.value, row.meaning] for row in explain_figures(result.figures)]
    columns = (Column(text("Figure")), Column(text("Value"), right=True), Column(text("What it says")))
    output.table(columns, rows)
    for warning in warnings_of(result.figures):
        output.note(warning)
    if result.base:
        size = References(context.paths.references_folder).size()
        output.note(
            text(
                "The reference's predictions are kept for the next comparison; all such take {size} "
                "(--clear-references removes them).",
                size=Bytes(size),
            )
        )


def _heading(result: Evaluation) -> Text:
    figures = result.figures
    values = {
        "model": result.model.name,
        "text": result.text_name,
        "count": figures.positions,
        "cache": result.kv_types,
    }
    if result.base is None:
        return text("{model} on “{text}”, {count} positions", **values)
    if result.base.hash == result.model.hash:
        return text(
            "{model} with a {cache} cache compared with an f16 cache on “{text}”, {count} positions", **values
        )
    return text(
        "{model} compared with {base} on “{text}”, {count} positions", base=result.base.name, **values
    )


def _show_results(context: Context, *, as_json: bool) -> int:
    from localllm.core.evaluate import Results

    results = Results(context.paths.evaluations_file).all()
    if as_json:
        context.output.json([to_json(result) for result in results])
        return 0
    if not results:
        context.output.note(text("Nothing was measured yet."))
        return 0
    columns = (
        Column(text("Model")),
        Column(text("Compared with")),
        Column(text("Cache")),
        Column(text("Size"), right=True),
        Column(text("Perplexity"), right=True),
        Column(text("Divergence"), right=True),
        Column(text("Same first choice"), right=True),
    )
    context.output.table(columns, [_row(result, context.output) for result in results])
    return 0


def _row(result: Evaluation, output: Output) -> list[Text | str]:
    from localllm.core.evaluate.meaning import percent_with_error, with_error

    comparison = result.figures.comparison
    return [
        result.model.name,
        result.base.name if result.base else "",
        result.kv_types,
        output.translate(text("{size}", size=Bytes(result.model.size))),
        with_error(result.figures.ppl, 3),
        with_error(comparison.divergence.mean, 5) if comparison else "",
        percent_with_error(comparison.same_top, 2) if comparison else "",
    ]


def _clear(context: Context, *, as_json: bool) -> int:
    from localllm.core.evaluate import References

    freed = References(context.paths.references_folder).clear()
    if as_json:
        context.output.json({"freed": freed})
    else:
        context.output.say(text("{size} are free again.", size=Bytes(freed)))
    return 0
