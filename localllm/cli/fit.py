"""`localllm fit`: what a model takes on this computer, exactly where llama.cpp can be asked, and why."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from localllm.cli.model_flags import add_expert_flags, read_adapter
from localllm.cli.output import Column
from localllm.cli.this_machine import this_machine
from localllm.cli.verdicts import VERDICT_SENTENCES
from localllm.core.fit import FitSettings
from localllm.core.resolution import resolve
from localllm.engine.experts import AUTOMATIC
from localllm.engine.protocol import KV_TYPES, LoadSettings
from localllm.errors import UsageError
from localllm.progress import Progress
from localllm.texts import Bytes, Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context
    from localllm.core.estimate import Estimate, Subject
    from localllm.core.estimate.advice import Advice
    from localllm.core.estimate.rules_of_thumb import Rule
    from localllm.core.hub.client import Hub
    from localllm.core.speed import SpeedEstimate
    from localllm.engine.protocol import Adapter

LEAST, MOST = 1, 1 << 24
MOST_SEQUENCES = 256  # llama.cpp's LLAMA_MAX_SEQ
USUAL_TEXT = 512  # tokens of a text that an encoder reads


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser("fit", help="what a model takes on this computer, and whether it fits")
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a file, a model of the library, ID[:QUANT] of the catalogue, or OWNER/NAME[:QUANT] on the Hub",
    )
    parser.add_argument("-c", "--context", type=int, metavar="N", help="tokens (default: as in the settings)")
    parser.add_argument(
        "--kv-type", metavar="K[/V]", help="type of the KV cache (default: as in the settings)"
    )
    parser.add_argument(
        "-ub", "--ubatch", type=int, metavar="N", help="physical batch (default: as in the settings)"
    )
    parser.add_argument("-b", "--batch", type=int, default=2048, metavar="N", help="logical batch (2048)")
    parser.add_argument("-np", "--parallel", type=int, default=1, metavar="N", help="sequences at once (1)")
    parser.add_argument("-ngl", "--gpu-layers", default="auto", metavar="N|auto", help="layers on the GPU")
    add_expert_flags(parser)
    parser.add_argument("--no-flash-attn", action="store_true", help="without flash attention")
    parser.add_argument("--swa-full", action="store_true", help="cache the whole context in windows too")
    parser.add_argument(
        "--lora",
        action="append",
        type=read_adapter,
        default=[],
        metavar="FILE",
        help="with this LoRA adapter, a file or one of the library; may be repeated",
    )
    parser.add_argument("--explain", action="store_true", help="the courses' formulas beside it, and why")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Print the estimate, or JSON."""
    from localllm.core.estimate import Estimator, Question
    from localllm.core.estimate.advice import advise
    from localllm.core.estimate.rules_of_thumb import rules_of_thumb

    settings = _settings(arguments, context)
    wished = _wished(arguments)
    subject = _subject(arguments.model, context)
    if subject.shape and subject.shape.is_encoder:
        settings = _for_texts(settings, arguments.context or min(USUAL_TEXT, settings.context_length))
    most = subject.trained_context * settings.sequences
    if 0 < most < settings.context_length:
        context.output.note(
            text("It was trained for {tokens} tokens: no longer context is counted.", tokens=most)
        )
        settings = dataclasses.replace(settings, context_length=most)
    estimator = Estimator.for_paths(context.paths)
    try:
        adapters = _adapters(arguments.lora, subject, context)
        placing, threads = subject.placing(wished), resolve(context.settings).load.threads
        question = Question(
            subject, settings, this_machine(context), placing, threads=threads, adapters=adapters
        )
        answer = estimator.estimate(question)
        advice = advise(estimator, question, answer)
    finally:
        estimator.rest()
    rules = rules_of_thumb(answer)
    if arguments.json:
        context.output.json(_as_json(answer, advice, rules, context))
    else:
        _print(answer, advice, context)
        if arguments.explain and rules:
            _print_rules(rules, answer, context)
    return 0


def _subject(words: str, context: Context) -> Subject:
    from localllm.core.estimate.naming import find_subject

    def hub() -> Hub:
        from localllm.core.hub.client import Hub

        return Hub.for_settings(context.settings)

    return find_subject(words, context.paths, context.settings, hub, Progress())


def _adapters(named: list[Adapter], subject: Subject, context: Context) -> int:
    """Return the bytes of adapters; they must fit the model, if its file is here."""
    if not named:
        return 0
    from localllm.core.library import Library
    from localllm.core.library.adapters import bytes_of, check_layable_all, find_adapters
    from localllm.gguf import read_header

    found = find_adapters(Library(context.paths, context.settings), named)
    if subject.file is not None:
        check_layable_all(found, read_header(subject.file))
    return bytes_of(found)


def _settings(arguments: argparse.Namespace, context: Context) -> FitSettings:
    usual = resolve(context.settings).load
    keys, _, values = str(arguments.kv_type or usual.kv_type_k).partition("/")
    ubatch = usual.ubatch if arguments.ubatch is None else arguments.ubatch
    for kind in (keys, values or keys):
        if kind not in KV_TYPES:
            raise UsageError(
                text("There is no KV cache of type “{kind}”.", kind=kind),
                hint=text("Choose one of: {names}.", names=", ".join(KV_TYPES)),
            )
    if arguments.no_flash_attn and (values or keys) not in ("f16", "bf16", "f32"):
        raise UsageError(text("Quantized values in the KV cache need flash attention."))
    context_length = usual.context_length if arguments.context is None else arguments.context
    for name, value, most in (
        ("--context", context_length, MOST),
        ("--ubatch", ubatch, MOST),
        ("--batch", arguments.batch, MOST),
        ("--parallel", arguments.parallel, MOST_SEQUENCES),
    ):
        if not LEAST <= value <= most:
            raise UsageError(text("{name} cannot be {value}.", name=name, value=value))
    return FitSettings(
        context_length=context_length,
        ubatch=min(ubatch, arguments.batch),
        batch=arguments.batch,
        sequences=arguments.parallel,
        flash_attention=not arguments.no_flash_attn,
        swa_full=arguments.swa_full,
        kv_type_k=keys,
        kv_type_v=values or keys,
    )


def _for_texts(settings: FitSettings, length: int) -> FitSettings:
    """Return the settings of an encoder, which reads a text in one piece and puts out every token."""
    return dataclasses.replace(
        settings, context_length=length, batch=length, ubatch=length, outputs_max=0, embeddings=True
    )


def _wished(arguments: argparse.Namespace) -> LoadSettings:
    """Return settings that say where it is to go."""
    experts = AUTOMATIC if arguments.n_cpu_moe is None else arguments.n_cpu_moe
    if arguments.gpu_layers == "auto":
        return LoadSettings(experts_layers_on_cpu=experts)
    try:
        layers = int(arguments.gpu_layers)
    except ValueError:
        layers = -1
    if layers < 0:
        raise UsageError(text("{name} cannot be {value}.", name="--gpu-layers", value=arguments.gpu_layers))
    return LoadSettings(gpu_layers=layers, experts_layers_on_cpu=experts)


def _print(answer: Estimate, advice: tuple[Advice, ...], context: Context) -> None:
    output = context.output
    output.say(
        text(
            "{name} {quant}, context {tokens}: {total} ({certainty})",
            name=answer.subject.name,
            quant=answer.subject.quant,
            tokens=answer.settings.context_length,
            total=Bytes(answer.memory.total),
            certainty=_certainty(answer),
        )
    )
    output.table(*_devices_table(answer))
    output.say()
    output.say(VERDICT_SENTENCES[answer.verdict])
    output.say(
        text(
            "Free now: {now}; after closing other programs: {closed}.",
            now=Bytes(answer.available),
            closed=Bytes(answer.closable),
        )
    )
    if answer.budgets.gpus and not answer.budgets.unified:
        gpu = answer.budgets.gpu
        on_gpu = text(
            "Of that on the GPU: {now} now, {closed} after closing other programs.",
            now=Bytes(gpu.now),
            closed=Bytes(gpu.closed),
        )
        output.say(on_gpu)
    output.say(
        text(
            "Not counted: {margin} of main memory, so that nothing is swapped out.",
            margin=Bytes(answer.budgets.kept.now),
        )
    )
    if answer.speed:
        output.say(_speed(answer.speed, embeddings=answer.settings.embeddings))
    if answer.last_load:
        output.say(comparison_of(answer.last_load.predicted, answer.last_load.used))
    for entry in advice:
        output.say(text("· {advice}", advice=entry.sentence))
    if answer.verdict in ("does_not_fit", "needs_closing_apps"):
        output.say(text("· You can load it anyway: “localllm chat --force”, or the button in the window."))


def comparison_of(predicted: int, used: int) -> Text:
    """Say what the last load took beside what was predicted for it."""
    return text(
        "When it was last loaded: predicted {predicted}, used {used} ({percent} %).",
        predicted=Bytes(predicted),
        used=Bytes(used),
        percent=f"{100 * (used - predicted) / max(1, predicted):+.1f}",
    )


def _certainty(answer: Estimate) -> Text:
    if answer.memory.certainty == "exact":
        return text("exact: llama.cpp's own figures for these settings")
    if answer.subject.file is None:
        return text("formula: no header is here to ask llama.cpp with")
    return text("formula: llama.cpp itself could not say")


def _devices_table(answer: Estimate) -> tuple[list[Column], list[list[Text | str]]]:
    titles = (
        text("Weights"),
        text("KV cache"),
        text("Compute"),
        text("Output"),
        text("Overhead"),
        text("Total"),
    )
    columns = [Column(text("Device")), *(Column(title, right=True) for title in titles)]
    rows: list[list[Text | str]] = []
    for device in answer.devices:
        parts = (device.weights, device.kv, device.compute, device.output, device.overhead, device.total)
        rows.append(
            [device.device, *(text("{size}", size=Bytes(p)) if p is not None else "–" for p in parts)]
        )
    if len(rows) > 1:
        sizes = answer.memory_record().values()
        rows.append([text("All"), *(text("{size}", size=Bytes(size)) for size in sizes)])
    return columns, rows


def _speed(speed: SpeedEstimate, *, embeddings: bool) -> Text:
    if embeddings and speed.prompt_tokens_per_second:
        reading = Number(speed.prompt_tokens_per_second)
        return text("Speed: it reads about {speed} tokens/s ({basis}).", speed=reading, basis=speed.source)
    return text(
        "Speed: about {speed} tokens/s ({low} to {high}, {basis}).",
        speed=Number(speed.tokens_per_second, 1),
        low=Number(speed.low, 1),
        high=Number(speed.high, 1),
        basis=speed.source,
    )


def _print_rules(rules: tuple[Rule, ...], answer: Estimate, context: Context) -> None:
    output = context.output
    output.say()
    output.say(text("What courses teach, and why it differs:"))
    columns = [
        Column(text("Formula")),
        Column(text("It says"), right=True),
        Column(text("Exact") if answer.memory.certainty == "exact" else text("Estimate"), right=True),
    ]
    columns.append(Column(text("Error"), right=True))
    rows: list[list[Text | str]] = []
    for rule in rules:
        sizes = (text("{size}", size=Bytes(rule.result)), text("{size}", size=Bytes(rule.exact)))
        formula = text("{name} = {formula}", name=rule.name, formula=rule.formula)
        rows.append([formula, *sizes, f"{100 * rule.error:+.0f} %"])
    output.table(columns, rows)
    for rule in rules:
        output.say(text("· {name}: {why}", name=rule.name, why=rule.why))


def _as_json(
    answer: Estimate, advice: tuple[Advice, ...], rules: tuple[Rule, ...], context: Context
) -> dict[str, Any]:
    budgets, load = answer.budgets, answer.last_load
    return {
        "model": answer.subject.name,
        "quant": answer.subject.quant,
        "memory": answer.memory_record(),
        "devices": [dataclasses.asdict(device) for device in answer.devices],
        "certainty": answer.memory.certainty,
        "verdict": answer.verdict,
        "settings": dataclasses.asdict(answer.settings),
        "placement": dataclasses.asdict(answer.placement),
        "budgets": {
            "now": {"host": budgets.host.now, "gpu": budgets.gpu.now, "total": answer.available},
            "closed": {"host": budgets.host.closed, "gpu": budgets.gpu.closed, "total": answer.closable},
            "kept": dataclasses.asdict(budgets.kept),
        },
        "speed": dataclasses.asdict(answer.speed) if answer.speed else None,
        "last_load": {"predicted": load.predicted, "used": load.used} if load else None,
        "advice": [context.output.translate(entry.sentence) for entry in advice],
        "rules_of_thumb": [
            {
                "name": context.output.translate(rule.name),
                "formula": str(rule.formula),
                "bytes": rule.result,
                "exact": rule.exact,
                "why": context.output.translate(rule.why),
            }
            for rule in rules
        ],
    }
