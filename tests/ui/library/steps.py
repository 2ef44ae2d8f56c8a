"""What the tests of the Library page do again and again."""

from PySide6.QtWidgets import QApplication, QLabel

from tests import gguf_files as g


def model_bytes(name, *, data=4096, quant=15, template="{{ messages[0].content }}"):
    pairs = [
        *g.LLAMA,
        g.uint_pair("general.file_type", quant),
        g.uint_pair("llama.context_length", 4096),
        g.text_pair("general.name", name),
        g.text_pair("tokenizer.chat_template", template),
    ]
    return g.container(pairs, [g.tensor("blk.0.attn_q.weight", (data // 4,))], name.encode()[:1] * data)


def put(path, name="m", **rest):
    path.parent.mkdir(parents=True, exist_ok=True)
    return g.write(path, model_bytes(name, **rest))


def settle(page, qtbot):
    """Wait until every job has ended and the list has been read after it."""
    quiet = lambda: page._services.jobs.running == 0 and not page._soon.isActive()  # noqa: E731
    qtbot.waitUntil(quiet, timeout=20_000)


def names(page):
    return [model.name for model in page.list.models.records]


def choose(page, name, qtbot):
    row = names(page).index(name)
    page.list.table.selectRow(row)
    settle(page, qtbot)
    assert page.detail.model.name == name


def words_of(widget):
    QApplication.processEvents()  # what a layout was given is shown a moment later
    return " ".join(label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget))


def dialog(qtbot, *, kind):
    qtbot.waitUntil(lambda: type(QApplication.activeModalWidget()).__name__ == kind)
    return QApplication.activeModalWidget()
