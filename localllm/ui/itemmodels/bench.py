"""The tables of the Bench page: what was measured, and the runs of the history."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QObject, Qt

from localllm.core.bench.charts import SETTINGS, value_of
from localllm.core.bench.energy import cost_per_million
from localllm.texts import Bytes, Moment, Number, Text, plural, text
from localllm.ui.itemmodels.records import Column, Index, RecordTable
from localllm.ui.translation import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from localllm.core.bench import BenchRow, BenchRun
    from localllm.core.bench.rows import Value

_MOST_NAMED = 3  # models or tests of a run
_MOST_EACH = 20  # repetitions that are told one by one
REASONS = {
    "load": text("other programs"),
    "swap": text("memory moved to disk"),
    "heat": text("a hot processor"),
    "clock": text("a slower clock"),
    "battery": text("another power supply or power mode"),
}
TITLES = {
    "model_filename": text("Model"),
    "n_gpu_layers": text("GPU layers"),
    "n_cpu_moe": text("Experts in memory"),
    "n_threads": text("Threads"),
    "n_batch": text("Batch"),
    "n_ubatch": text("Physical batch"),
    "type_k": text("Cache: keys"),
    "type_v": text("Cache: values"),
    "flash_attn": text("Flash attention"),
    "load_mode": text("Way of loading"),
    "repack": text("Repacked"),
    "build_commit": text("llama.cpp"),
    "cpu_info": text("Processor"),
    "gpu_info": text("Graphics"),
    "n_prompt": text("Tokens read"),
    "n_gen": text("Tokens written"),
    "n_depth": text("Depth"),
    "sequences": text("Sequences"),
    "cpu_mask": text("Processors"),
    "cpu_strict": text("A processor for each thread"),
    "poll": text("Waiting busily, %"),
    "split_mode": text("Shared among GPUs by"),
    "main_gpu": text("Main GPU"),
    "devices": text("Devices"),
    "tensor_split": text("Shares of the GPUs"),
    "tensor_buft_overrides": text("Tensors elsewhere"),
    "no_kv_offload": text("Cache in main memory"),
    "no_op_offload": text("GPU only for its own weights"),
    "no_host": text("Weights not pinned"),
    "embeddings": text("Embeddings"),
    "lazy_mode": text("Reading when needed"),
}
_DETAILS = (
    "n_gpu_layers", "n_cpu_moe", "n_threads", "n_batch", "n_ubatch", "type_k", "type_v", "flash_attn",
    "load_mode", "repack", "build_commit", "cpu_info", "gpu_info",
)  # fmt: skip
_FLASH = {-1: text("automatic"), 0: text("off"), 1: text("on")}
_SHORT = {
    "n_threads": text("{value} threads"),
    "n_gpu_layers": text("{value} GPU layers"),
    "n_cpu_moe": text("{value} layers' experts in memory"),
    "n_ubatch": text("ubatch {value}"),
    "n_batch": text("batch {value}"),
    "n_depth": text("depth {value}"),
    "sequences": text("{value} at a time"),
    "flash_attn": text("flash {value}"),
    "repack": text("repacked: {value}"),
}
_SHORT_ONE = {
    "n_threads": text("1 thread"),
    "n_gpu_layers": text("1 GPU layer"),
    "n_cpu_moe": text("1 layer's experts in memory"),
}
_SHORTER = {"type_k": "K ", "type_v": "V ", "n_prompt": "pp", "n_gen": "tg"}


class _Facts:
    """What rows have that not all tables show."""

    def __init__(self) -> None:
        self._values: dict[str, set[Value]] = {name: set() for name in SETTINGS}
        self.graphics = self.energy = False

    def add(self, row: BenchRow) -> None:
        """Look at one more row."""
        for name, values in self._values.items():
            values.add(value_of(row, name))
        self.graphics = self.graphics or row.graphics_memory > 0
        self.energy = self.energy or row.energy > 0

    @property
    def differing(self) -> tuple[str, ...]:
        """The settings that are not the same in all rows."""
        return tuple(name for name, values in self._values.items() if len(values) > 1)


class ResultTable(RecordTable["BenchRow"]):
    """One row for each test; what differs between them has a column."""

    def __init__(self, parent: QObject | None = None, price: float = 0.0) -> None:
        """`price` is that of a kWh, 0 = not known."""
        self._facts, self._price = _Facts(), price
        super().__init__(_result_columns(self._facts, self._price), parent)

    @property
    def has_energy(self) -> bool:
        """Whether a row's energy was measured."""
        return self._facts.energy

    def show_results(self, rows: Sequence[BenchRow], price: float | None = None) -> None:
        """Show other results; `price` is that of a kWh, None as before."""
        self.beginResetModel()
        self._price = self._price if price is None else price
        self._facts = _Facts()
        for row in rows:
            self._facts.add(row)
        self.columns = _result_columns(self._facts, self._price)
        self.records = list(rows)
        self.endResetModel()

    def add(self, row: BenchRow) -> bool:
        """Show one more; return whether there are other columns now."""
        self._facts.add(row)
        columns = _result_columns(self._facts, self._price)
        if [column.title for column in columns] != [column.title for column in self.columns]:
            self.show_results([*self.records, row])
            return True
        place = len(self.records)
        self.beginInsertRows(QModelIndex(), place, place)
        self.records.append(row)
        self.endInsertRows()
        return False

    def row_of(self, row: BenchRow) -> int:
        """Return where a result stands now, -1 if it is not here."""
        return next((place for place, one in enumerate(self.records) if one is row), -1)

    def data(self, index: Index, role: int = 0) -> object:
        """Return what a cell shows; its tip says all that is known of the row."""
        if role == Qt.ItemDataRole.ToolTipRole and index.isValid() and index.row() < len(self.records):
            return details_of(self.records[index.row()])
        return super().data(index, role)


class RunTable(RecordTable["BenchRun"]):
    """One row for each run of the history."""

    def __init__(self, parent: QObject | None = None) -> None:
        columns: tuple[Column[BenchRun], ...] = (
            Column(text("Run"), lambda run: str(run.id), lambda run: run.id, right=True),
            Column(text("When"), when_of, lambda run: run.created),
            Column(text("What"), name_of_run, _order_of_run),
        )
        super().__init__(columns, parent)


def _order_of_run(run: BenchRun) -> str:
    """Return what sorts runs by their name and their first model: to read all results takes its time."""
    return f"{say(run.name)} {model_of(run.first) if run.first else ''}".lower()


def when_of(run: BenchRun) -> Text:
    """Return the day and the time of a run."""
    return text("{when}", when=Moment(run.created, time_of_day=True))


def name_of_run(run: BenchRun) -> Text | str:
    """Return what a run is called: its name, its models and its tests."""
    models = _named(model_of(row) for row in run.rows)
    tests = _named(row.test for row in run.rows)
    words = text("{models}: {tests}", models=models, tests=tests) if run.rows else text("Nothing measured")
    if run.name:
        words = text("{name} · {what}", name=say(run.name), what=words)
    return text("{what} (imported)", what=words) if run.source == "import" else words


def _named(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    return ", ".join(every[:_MOST_NAMED]) + (", …" if len(every) > _MOST_NAMED else "")


def model_of(row: BenchRow) -> str:
    """Return the name of a row's file, without its ending."""
    return _name_of_file(row.fields.get("model_filename", ""))


def _name_of_file(path: Value) -> str:
    """Return a file's name without its ending; imported paths may be of another system."""
    return str(path).replace("\\", "/").rpartition("/")[2].removesuffix(".gguf")


def setting_of(row: BenchRow, name: str) -> Text | str:
    """Return the value of a setting as people read it."""
    return shown_value(name, value_of(row, name))


def shown_value(name: str, value: Value) -> Text | str:
    """Return a value of one of `TITLES` as people read it."""
    if name == "model_filename":
        return _name_of_file(value)
    if name == "flash_attn":
        return _FLASH.get(int(value), str(value)) if isinstance(value, int) else str(value)
    if name == "n_gpu_layers" and isinstance(value, int) and value < 0:
        return text("all")
    if isinstance(value, bool):
        return text("yes") if value else text("no")
    return str(value)


def label_of(row: BenchRow, names: Sequence[str]) -> str:
    """Return what tells a row from the others: "Qwen3 · 4 threads · q8_0"."""
    return " · ".join(short_setting(name, value_of(row, name)) for name in names)


def short_setting(name: str, value: Value) -> str:
    """Return a setting in a few characters, so that many fit into a chart."""
    shown = shown_value(name, value)
    if value == 1 and name in _SHORT_ONE:
        return say(_SHORT_ONE[name])
    if name in _SHORT:
        return say(text(_SHORT[name].template, value=shown))
    if name in _SHORTER or name in _DETAILS or name == "model_filename":
        return _SHORTER.get(name, "") + say(shown)
    return f"{say(TITLES[name])}: {say(shown)}"


def speed_of(row: BenchRow) -> Text | str:
    """Return tokens/s with their deviation, "–" for a row that failed."""
    if not row.samples:
        return "–"
    decimals = decimals_of(row.mean)
    if len(row.samples) == 1:
        return text("{speed}", speed=Number(row.mean, decimals))
    return text("{speed} ± {error}", speed=Number(row.mean, decimals), error=Number(row.deviation, decimals))


def decimals_of(speed: float) -> int:
    """Return how many decimals tell as much as a measurement does."""
    return 2 if speed < 100 else 1 if speed < 1000 else 0


def note_of(row: BenchRow) -> Text | str:
    """Return why there is no figure, or what disturbed it."""
    if row.failure is not None:
        return row.failure
    disturbed = [why for why in row.disturbed if why]
    if not disturbed:
        return ""
    counted = Counter(reason for why in disturbed for reason in why)
    return plural(
        len(disturbed),
        "1 of {total} repetitions disturbed by {reasons}",
        "{count} of {total} repetitions disturbed by {reasons}",
        total=len(row.disturbed),
        reasons=", ".join(say(REASONS[reason]) for reason, _ in counted.most_common() if reason in REASONS),
    )


def memory_of(row: BenchRow) -> Text | str:
    """Return the most memory that the engine held, graphics memory beside it."""
    if not row.peak_memory:
        return "–"
    if row.graphics_memory:
        return text("{main} + {gpu}", main=Bytes(row.peak_memory), gpu=Bytes(row.graphics_memory))
    return text("{main}", main=Bytes(row.peak_memory))


def details_of(row: BenchRow) -> str:
    """Return everything about a row, a line for each fact."""
    lines = [f"{model_of(row)} · {row.test}"]
    if row.samples:
        speeds = [say(text("{v}", v=Number(one, decimals_of(one)))) for one in row.speeds[:_MOST_EACH]]
        each = " · ".join([*speeds, *(["…"] if len(row.speeds) > _MOST_EACH else [])])
        lines.append(say(text("{speed} tokens/s", speed=speed_of(row))))
        lines.append(say(text("Each repetition: {values}", values=each)))
    if row.peak_memory:
        lines.append(say(text("Most memory: {memory}", memory=memory_of(row))))
    if row.load_ms:
        lines.append(say(text("Loaded in {seconds} s", seconds=Number(row.load_ms / 1000, 2))))
    if row.energy:
        lines.append(say(text("{joules} J per token", joules=_joules(row))))
    known = [name for name in _DETAILS if value_of(row, name) not in ("", "none")]
    lines += [f"{say(TITLES[name])}: {say(setting_of(row, name))}" for name in known]
    note = note_of(row)
    return "\n".join([*lines, say(note)] if note else lines)


def _result_columns(facts: _Facts, price: float) -> tuple[Column[BenchRow], ...]:
    names = facts.differing
    settings = tuple(_setting_column(name) for name in names if name != "model_filename")
    model = Column["BenchRow"](text("Model"), model_of, lambda row: model_of(row).lower())
    return (
        *((model,) if "model_filename" in names else ()),
        Column(text("Test"), lambda row: row.test, _order_of_test),
        *settings,
        Column(text("Tokens/s"), speed_of, lambda row: row.mean, right=True),
        *(_energy_columns(price) if facts.energy else ()),
        Column(text("Memory"), _main_memory, lambda row: row.peak_memory, right=True),
        *((_graphics_column(),) if facts.graphics else ()),
        Column(text("Loading time"), loading_of, lambda row: row.load_ms, right=True),
        Column(text("Remarks"), note_of, lambda row: say(note_of(row))),
    )


def _main_memory(row: BenchRow) -> Text | str:
    return text("{size}", size=Bytes(row.peak_memory)) if row.peak_memory else "–"


def _graphics_column() -> Column[BenchRow]:
    def shown(row: BenchRow) -> Text | str:
        return text("{size}", size=Bytes(row.graphics_memory)) if row.graphics_memory else "–"

    return Column(text("Graphics memory"), shown, lambda row: row.graphics_memory, right=True)


def _energy_columns(price: float) -> tuple[Column[BenchRow], ...]:
    energy: Column[BenchRow] = Column(
        text("J per token"),
        lambda row: _joules(row) if row.joules_per_token else "–",
        lambda row: row.joules_per_token or 0.0,
        right=True,
    )
    cost: Column[BenchRow] = Column(
        text("A million tokens cost"),
        lambda row: cost_of(row, price),
        lambda row: row.joules_per_token or 0.0,
        right=True,
    )
    return (energy, cost) if price > 0 else (energy,)


def _joules(row: BenchRow) -> Text:
    return text("{joules}", joules=Number(row.joules_per_token or 0.0, 3))


def cost_of(row: BenchRow, price: float) -> Text | str:
    """Return what a million tokens cost at a price of a kWh, in its currency."""
    if row.joules_per_token is None:
        return "–"
    cost = cost_per_million(row.joules_per_token, price)
    return text("{cost}", cost=Number(cost, 2 if cost >= 1 else 4))


def loading_of(row: BenchRow) -> Text | str:
    """Return how long the model was being loaded."""
    return text("{seconds} s", seconds=Number(row.load_ms / 1000, 2)) if row.load_ms else "–"


def _setting_column(name: str) -> Column[BenchRow]:
    def key(row: BenchRow) -> str:
        value = value_of(row, name)
        return f"{value:012d}" if isinstance(value, int) else str(value)

    return Column(TITLES[name], lambda row: setting_of(row, name), key)


def _order_of_test(row: BenchRow) -> str:
    """Return what sorts tests by depth, then by what they do."""
    numbers = (row.number(name) for name in ("n_depth", "n_gen", "n_prompt"))
    return " ".join(f"{number:012d}" for number in numbers)
