"""`localllm calibrate`: measures how fast this computer runs models, so that predictions are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localllm.cli.output import Column
from localllm.progress import Progress
from localllm.texts import Number, Text, text

if TYPE_CHECKING:
    import argparse

    from localllm.cli.output import Context, Output
    from localllm.core.calibration import CalibrationResult


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = subparsers.add_parser(
        "calibrate", help="measure how fast this computer runs models, about ten seconds"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--anyway", action="store_true", help="measure also beside busy programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, context: Context) -> int:
    """Measure and print."""
    from localllm.core.calibration import calibrate
    from localllm.core.engine_build import read_engine_build
    from localllm.core.hardware import probe
    from localllm.core.speed import SpeedHistory

    paths, output = context.paths, context.output

    def tell(done: float, total: float, note: Text | None) -> None:
        if note is not None:
            output.status(f"{done:.0f}/{total:.0f} {output.translate(note)}")

    machine = probe(paths.models, engine=read_engine_build(), measurements=paths.measurements_file)
    history = SpeedHistory(paths.speeds_file)
    result = calibrate(paths, machine, history, Progress(tell), anyway=arguments.anyway)
    output.status("")
    if arguments.json:
        output.json(to_json(result))
    else:
        _show(result, output)
    return 0


def to_json(result: CalibrationResult) -> dict[str, Any]:
    """Return tokens/s, seconds and bytes/s as JSON data."""
    fits = result.fits
    return {
        "seconds": round(result.seconds, 2),
        "foreign_load": round(result.foreign_load, 3),
        "threads": fits.threads if fits else None,
        "devices": [
            {"device": device, **_rates(result, role)}
            for role, device in (fits.devices.items() if fits else ())
        ],
        "measured": [
            {
                "device": one.device,
                "model": one.name,
                "tokens_per_second": round(one.writing, 2),
                "prompt_tokens_per_second": None if one.reading is None else round(one.reading, 1),
            }
            for one in result.measured
        ],
        "notes": [str(note) for note in result.notes],
    }


def _rates(result: CalibrationResult, role: str) -> dict[str, float]:
    """Return the constants of t = a + bytes / B, and operations/s of a prompt, for 4-bit files."""
    if result.fits is None:
        return {}
    writing, reading = result.fits.writing.of(role), result.fits.reading.of(role)
    return {
        "seconds_per_layer": writing.layers,
        "seconds_per_expert_layer": writing.layers + writing.experts,
        "bytes_per_second": 1 / writing.packed,
        "prompt_operations_per_second": 1 / reading.packed,
    }


def _show(result: CalibrationResult, output: Output) -> None:
    columns = [
        Column(text("Device")),
        Column(text("Model")),
        Column(text("Tokens/s"), right=True),
        Column(text("Prompt tokens/s"), right=True),
    ]
    rows = [
        [
            one.device,
            one.name,
            _number(one.writing),
            "–" if one.reading is None else _number(one.reading),
        ]
        for one in result.measured
    ]
    output.table(columns, rows)
    output.say()
    for role, device in result.fits.devices.items() if result.fits else ():
        rates = _rates(result, role)
        output.say(
            text(
                "{device}: {bandwidth} GB/s of 4-bit weights, and {layer} µs for each layer of each token.",
                device=device,
                bandwidth=Number(rates["bytes_per_second"] / 1e9, 1),
                layer=Number(1e6 * rates["seconds_per_layer"]),
            )
        )
    template = "Measured in {seconds} s; predictions of speed use it from now on."
    if result.fits is None:
        template = "Measured in {seconds} s, but the figures could not be kept: see the log."
    output.say(text(template, seconds=Number(result.seconds)))
    for note in result.notes:
        output.note(text("Note: {note}", note=note))


def _number(value: float) -> Text:
    return text("{number}", number=Number(value, 1 if value < 100 else 0))
