"""The settings of loading in the loader: a slider for the context, and what else there is for this model."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from localllm.engine.experts import ALL_LAYERS, AUTOMATIC
from localllm.engine.protocol import KV_TYPES, PLAIN_KV_TYPES, LoadSettings
from localllm.texts import text
from localllm.ui.context_slider import MOST_TOKENS, SPIN_WIDTH, ContextSlider
from localllm.ui.forms import Form, Row
from localllm.ui.terms import explain_setting
from localllm.ui.text_room import keep_width
from localllm.ui.translation import say
from localllm.ui.widgets.basics import make_label
from localllm.ui.widgets.source_note import SourceNote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localllm.core.estimate import Estimate
    from localllm.core.resolution import Resolution

_OF_GPU = ("gpu_layers", "experts_layers_on_cpu")


def load_rows() -> dict[str, Row]:
    """Return how the settings beside the context are shown; the rest is chosen for the computer."""
    automatic = text("automatic")
    return {
        "kv_type_k": Row(
            text("KV cache type"),
            text("Smaller types take less memory and lose a little precision."),
            choices=KV_TYPES,
        ),
        "ubatch": Row(
            text("Physical batch"),
            text("Tokens of a prompt that are read at once: more is faster and takes more memory."),
            32,
            8192,
            128,
        ),
        "threads": Row(
            text("Threads"),
            text("Automatic takes the cores that this program may really use."),
            0,
            512,
            1,
            least=automatic,
        ),
        "flash_attention": Row(
            text("Flash attention"), text("Takes less memory; a quantized KV cache needs it.")
        ),
        "gpu_layers": Row(
            text("GPU layers"), text("Automatic puts as many on the GPU as fit."), -1, 999, 1, least=automatic
        ),
        "experts_layers_on_cpu": Row(
            text("Experts in main memory"),
            text("Of so many layers, from the first; automatic takes as few as must be."),
            AUTOMATIC,
            ALL_LAYERS,
            1,
            least=automatic,
            most=text("all layers"),
        ),
    }


def made_consistent(settings: LoadSettings, changed: str) -> LoadSettings:
    """Return settings that llama.cpp takes, after one of them was changed."""
    if changed == "kv_type_k":
        settings = dataclasses.replace(settings, kv_type_v=settings.kv_type_k)
    quantized = settings.kv_type_v not in PLAIN_KV_TYPES
    if quantized and not settings.flash_attention:
        if changed == "flash_attention":
            return dataclasses.replace(settings, kv_type_k="f16", kv_type_v="f16")
        return dataclasses.replace(settings, flash_attention=True)
    return settings


class LoadForm(QWidget):
    """The controls, each with where its value comes from.

    Signals:
        edited: Something was changed; `settings` has it.
    """

    edited = Signal()

    def __init__(self, usual: Resolution) -> None:
        super().__init__()
        self._chosen: dict[str, object] = {}
        self._resolved = usual
        self._usual: Callable[[Mapping[str, object]], Resolution] = lambda _chosen: usual
        self.context = ContextSlider()
        self.form = Form(usual.load, load_rows(), self)
        self._experts = cast("QSpinBox", self.form.controls["experts_layers_on_cpu"])
        self._labels: dict[str, QWidget] = {}
        labels = {"context_length": text("Context length")} | {n: row.label for n, row in load_rows().items()}
        self.notes = {name: SourceNote(say(label), "choice") for name, label in labels.items()}
        for name, note in self.notes.items():
            note.reset_asked.connect(partial(self._on_reset, name))
        self._build()
        self.form.edited.connect(self._on_edited)
        self.context.changed.connect(self._on_context_changed)
        self.show_for(None, None)

    @property
    def settings(self) -> LoadSettings:
        """How the model is to be loaded."""
        return self._resolved.load

    def use(self, usual: Callable[[Mapping[str, object]], Resolution], *, forget: bool = False) -> None:
        """Show what applies to another model; what was chosen here holds for it too, unless forgotten."""
        self._usual = usual
        self._choose({} if forget else self._chosen)

    def show_for(self, trained_context: int | None, answer: Estimate | None) -> None:
        """Show what there is to choose for a model on this computer."""
        self.context.set_most(trained_context or MOST_TOKENS)
        self.context.set_value(self.settings.context_length or trained_context or MOST_TOKENS)
        on_gpu = answer is not None and bool(answer.budgets.gpus)
        experts = on_gpu and answer is not None and answer.subject.experts
        if answer is not None:
            self._show_layers(answer.subject.layers)
        for name, there in zip(_OF_GPU, (on_gpu, experts), strict=True):
            for widget in (self.form.controls[name], self._labels[name], self.notes[name]):
                widget.setVisible(there)

    def apply(self, changes: Mapping[str, object]) -> None:
        """Change settings as an advice says, and tell."""
        self._choose({**self._chosen, **changes})
        self.edited.emit()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        label = make_label(self.tr("Context length"))
        label.setBuddy(self.context.spin)
        for part in (label, self.context):
            explain_setting(part, "context_length")
        context = QHBoxLayout()
        context.setSpacing(12)
        context.addWidget(label)
        context.addWidget(self.context, 1)
        column.addLayout(context)
        column.addWidget(self.notes["context_length"], 0, Qt.AlignmentFlag.AlignLeft)
        column.addLayout(self._lay_out())

    def _lay_out(self) -> QGridLayout:
        """Put two settings side by side."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(2)
        grid.setColumnMinimumWidth(2, 8)
        for column in (0, 3):
            grid.setColumnStretch(column, 1)
        for number, (name, row) in enumerate(load_rows().items()):
            control = self.form.controls[name]
            label = make_label(say(row.label), wrap=True)
            label.setToolTip(say(row.help))
            label.setBuddy(control)
            self._labels[name] = label
            line, side = divmod(number, 2)
            grid.addWidget(label, 2 * line, 3 * side)
            grid.addWidget(control, 2 * line, 3 * side + 1)
            note = self.notes[name]
            grid.addWidget(note, 2 * line + 1, 3 * side, 1, 2, Qt.AlignmentFlag.AlignLeft)
            if not isinstance(control, QCheckBox):
                keep_width(control, least=SPIN_WIDTH, most=SPIN_WIDTH)
        return grid

    def _choose(self, chosen: dict[str, object]) -> None:
        self._chosen = chosen
        self._resolved = resolved = self._usual(chosen)
        self.form.set_record(resolved.load)
        self.context.set_value(resolved.load.context_length or MOST_TOKENS)
        for name, note in self.notes.items():
            note.show_source(resolved.values[name], resolved.profile)

    def _on_reset(self, name: str) -> None:
        gone = {"kv_type_k", "kv_type_v"} if name == "kv_type_k" else {name}
        self._choose({one: value for one, value in self._chosen.items() if one not in gone})
        (self.context.spin if name == "context_length" else self.form.controls[name]).setFocus()
        self.edited.emit()

    def _on_context_changed(self, tokens: int) -> None:
        self._on_edited("context_length", tokens)

    def _show_layers(self, layers: int) -> None:
        """Let the experts of so many layers be all."""
        self._experts.blockSignals(True)  # noqa: FBT003 - Qt's own signature
        self._experts.setMaximum(max(1, layers))
        self._experts.setValue(self.settings.experts_layers_on_cpu)
        self._experts.blockSignals(False)  # noqa: FBT003 - Qt's own signature

    def _on_edited(self, name: str, value: object) -> None:
        before = self.settings
        if name == "experts_layers_on_cpu" and value == self._experts.maximum():
            value = ALL_LAYERS  # also of the next model
        changed = dataclasses.replace(before, **cast("dict[str, Any]", {name: value}))
        consistent = made_consistent(changed, name)
        others = {
            one: getattr(consistent, one)
            for one in ("kv_type_k", "kv_type_v", "flash_attention")
            if getattr(consistent, one) != getattr(before, one)
        }
        self._choose({**self._chosen, name: value, **others})
        self.edited.emit()
