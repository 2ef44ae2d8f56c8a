"""The real window on the real core with the real engine and the real small model."""

import os
import signal

import pytest
from PySide6.QtGui import QImage

from localllm.engine.protocol import LoadSettings
from localllm.ui.window import Window

BERLIN = "What is the capital of Germany?"
SLOW = 60_000  # ms


@pytest.fixture
def services(real_services):
    return real_services


@pytest.fixture
def page(services, show, qtbot):
    window = show(Window(services))
    services.model.load(services.library.starter(), LoadSettings(context_length=512, threads=1))
    qtbot.waitUntil(lambda: services.model.loaded is not None, timeout=SLOW)
    window.show_page("chat")
    chat = services.store.create_chat()
    services.store.set_sampling(chat.id, {"temperature": 0.0, "max_tokens": 60})
    window.chat_page.open_chat(chat.id)
    yield window.chat_page
    window.close()  # pytest-qt has done so already, unless the test failed early
    assert services.session.loaded is None


def ask(page, words, qtbot):
    page._composer.set_text(words)
    page._on_submitted(words)
    qtbot.waitUntil(lambda: not page._answering.busy, timeout=SLOW)
    return page._services.store.messages(page.chat_id)


def test_a_question_is_answered_in_the_window(page, qtbot):
    question, answer = ask(page, BERLIN, qtbot)
    assert (question.text, answer.text) == (BERLIN, "The capital of Germany is Berlin.")
    image = page.grab().toImage()
    assert isinstance(image, QImage)
    assert not image.isNull()
    qtbot.waitUntil(lambda: "Berlin" in page._transcript.views[-1].body.toPlainText())


def test_an_engine_killed_in_an_answer_costs_nothing(page, services, qtbot):
    page._composer.set_text("Tell me a story.")
    page._on_submitted("Tell me a story.")
    qtbot.waitUntil(lambda: len(page._answering.text_so_far or "") > 20, timeout=SLOW)
    os.kill(services.session.engine().pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not page._answering.busy, timeout=SLOW)
    cut = services.store.messages(page.chat_id)[-1]
    assert cut.state == "failed"
    assert len(cut.text) > 20
    assert "killed" in str(cut.problem)
    assert page._banner.isVisible()
    *_, answer = ask(page, "Hi", qtbot)
    assert answer.state == "complete"
    assert answer.text


def test_stop_keeps_what_arrived(page, services, qtbot):
    page._composer.set_text("Tell me a long story.")
    page._on_submitted("Tell me a long story.")
    qtbot.waitUntil(lambda: len(page._answering.text_so_far or "") > 10, timeout=SLOW)
    page.stop()
    qtbot.waitUntil(lambda: not page._answering.busy, timeout=SLOW)
    assert services.store.messages(page.chat_id)[-1].state in ("stopped", "complete")


def test_the_loader_asks_llama_cpp_and_compares_after_the_load(services, show, qtbot):
    window = show(Window(services))
    window.open_loader()
    loader = window._loader

    def exact(tokens):
        answer = loader._answer
        known = answer is not None and answer.memory.certainty == "exact"
        return known and answer.settings.context_length == tokens

    qtbot.waitUntil(lambda: exact(8192), timeout=SLOW)
    whole = loader._answer.memory.total
    loader._form.context.spin.setValue(2048)
    qtbot.waitUntil(lambda: exact(2048), timeout=SLOW)
    assert loader._answer.memory.kv * 4 == 180 * 2**20
    assert loader._answer.memory.total < whole - 100 * 2**20
    qtbot.waitUntil(lambda: bool(loader._details.advice.rows), timeout=SLOW)
    loader._load.click()
    qtbot.waitUntil(lambda: services.model.loaded is not None, timeout=SLOW)
    comparison = services.session.comparison
    assert abs(comparison.residual) < 0.3, "a first load: nothing is known of this computer's overhead"
    window.open_loader()
    qtbot.waitUntil(
        lambda: loader._details._compared.text().startswith("Loaded now: predicted"), timeout=SLOW
    )
    loader.reject()
    window.close()
    assert services.session.loaded is None
