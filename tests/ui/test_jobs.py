import logging
import threading

import pytest
from PySide6.QtCore import QThread

from localllm.errors import Cancelled, MachineBusy, UsageError
from localllm.ui.jobs import JobRunner, Reactions


@pytest.fixture
def jobs(qapp):
    runner = JobRunner()
    yield runner
    runner.cancel_all()
    assert runner.wait(30)


def finish(qtbot, jobs):
    qtbot.waitUntil(lambda: jobs.running == 0)


def test_result_arrives_in_the_window_thread(qtbot, jobs):
    seen = []
    jobs.run(lambda _: 42, Reactions(succeeded=lambda result: seen.append((result, QThread.currentThread()))))
    finish(qtbot, jobs)
    assert seen == [(42, QThread.currentThread())]


def test_exception_arrives_as_the_object(qtbot, jobs):
    error, seen = UsageError("no"), []

    def work(_):
        raise error

    jobs.run(work, Reactions(failed=seen.append, succeeded=seen.append))
    finish(qtbot, jobs)
    assert seen == [error]


@pytest.mark.parametrize(("error", "trace"), [(MachineBusy("Others compute."), False), (KeyError("x"), True)])
def test_only_what_nobody_expected_leaves_its_traceback_in_the_log(qtbot, jobs, caplog, error, trace):
    def work(_):
        raise error

    with caplog.at_level(logging.INFO, logger="localllm.ui.jobs"):
        jobs.run(work)
        finish(qtbot, jobs)
    [record] = caplog.records
    assert (record.exc_info is not None) == trace
    assert trace or record.getMessage() == "Not done: MachineBusy: Others compute."


def test_generator_yields_every_item_in_order(qtbot, jobs):
    seen, results = [], []

    def work(_):
        yield from range(500)

    jobs.run(work, Reactions(yielded=seen.append, succeeded=results.append))
    finish(qtbot, jobs)
    assert seen == list(range(500))
    assert results == [None]


def test_progress_is_reported(qtbot, jobs):
    seen = []
    jobs.run(lambda progress: progress.update(3, 10), Reactions(progressed=seen.append))
    finish(qtbot, jobs)
    assert [(how.done, how.total) for how in seen] == [(3, 10)]


def test_cancelling_is_no_failure_and_finishes(qtbot, jobs):
    began, heard = threading.Event(), []

    def work(progress):
        began.set()
        while True:
            progress.raise_if_cancelled()

    reactions = Reactions(
        failed=heard.append, succeeded=heard.append, finished=lambda: heard.append("finished")
    )
    job = jobs.run(work, reactions)
    assert began.wait(30)
    job.cancel()
    finish(qtbot, jobs)
    assert heard == ["finished"]


def test_cancelled_from_a_generator_stops_it(qtbot, jobs):
    seen = []

    def work(progress):
        number = 0
        while True:
            if progress.cancelled:
                raise Cancelled
            yield (number := number + 1)
            progress_gate.wait(0.001)

    progress_gate = threading.Event()
    job = jobs.run(work, Reactions(yielded=seen.append))
    qtbot.waitUntil(lambda: len(seen) >= 3)
    job.cancel()
    finish(qtbot, jobs)
    assert job.join(30)


def test_wait_tells_that_a_job_is_still_running(qtbot, jobs):
    gate = threading.Event()
    jobs.run(lambda _: gate.wait(30))
    assert not jobs.wait(0.01)
    gate.set()
    assert jobs.wait(30)
    finish(qtbot, jobs)
