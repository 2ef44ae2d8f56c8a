"""A graphics driver that is left out is told of where one looks for it, and can be tried again."""

import pytest

from localllm.core.engine_build import left_out_drivers
from localllm.engine.drivers import FailedDrivers
from localllm.ui.driver_notice import DriverNotice
from localllm.ui.pages.diagnostics import DiagnosticsPage
from localllm.ui.pages.settings import SettingsPage
from tests.engine.stand_ins import CRASHES_IN_A_DRIVER, WORKS, start_with


@pytest.fixture
def failed(services):
    FailedDrivers(services.paths.failed_drivers_file).leave_out(["vulkan"])


@pytest.fixture
def notice(services, show):
    notice = DriverNotice(services)
    notice.look()
    return show(notice) if notice.buttons else notice


def test_where_no_driver_failed_nothing_is_said(notice):
    assert notice.isHidden()


@pytest.mark.usefixtures("failed")
def test_a_driver_that_fails_again_stays_left_out_and_may_be_tried_once_more(
    notice, services, qtbot, monkeypatch
):
    start_with(monkeypatch, CRASHES_IN_A_DRIVER)
    assert "driver is left out" in notice.sentences
    with qtbot.waitSignal(notice.tried, timeout=60_000):
        notice.buttons[0].click()
        assert "Trying" in notice.sentences
        notice.look()
        assert "Trying" in notice.sentences, "a page that is shown again does not disturb it"
    assert "stays left out" in notice.sentences
    assert notice.buttons
    assert left_out_drivers(services.paths) == services.session.build.failing == ("vulkan", "hip")


@pytest.mark.usefixtures("failed")
def test_a_driver_that_works_again_is_used(notice, services, qtbot, monkeypatch):
    start_with(monkeypatch, WORKS)
    with qtbot.waitSignal(notice.tried, timeout=60_000):
        notice.buttons[0].click()
    assert not left_out_drivers(services.paths)
    assert not notice.buttons
    assert [device.name for device in services.session.build.devices] == ["Vulkan0"]
    assert "can use Card" in notice.sentences
    notice.look()
    assert notice.isHidden(), "what was said is past when the page is shown again"


@pytest.mark.usefixtures("failed")
@pytest.mark.parametrize("kind", [DiagnosticsPage, SettingsPage])
def test_pages_say_so(services, show, kind):
    page = show(kind(services))
    assert page.driver.isVisible()
    FailedDrivers(services.paths.failed_drivers_file).leave_out([])
    page.hide()
    page.show()
    assert not page.driver.isVisible()
