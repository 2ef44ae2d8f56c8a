"""`localllm diagnostics --reset driver`; the other ways back are in test_settings.py."""

from localllm.cli.main import run
from localllm.core.engine_build import left_out_drivers
from localllm.engine.drivers import FailedDrivers
from localllm.paths import Paths
from tests.engine.stand_ins import CRASHES_IN_A_DRIVER, WORKS, start_with


def test_a_driver_that_is_left_out_can_be_tried_again(capsys, monkeypatch):
    paths = Paths.for_user()
    FailedDrivers(paths.failed_drivers_file).leave_out(["vulkan"])
    start_with(monkeypatch, CRASHES_IN_A_DRIVER)
    assert run(["diagnostics", "--reset", "driver"]) == 0
    assert "stays left out" in capsys.readouterr().out
    assert left_out_drivers(paths) == ("vulkan", "hip")
    start_with(monkeypatch, WORKS)
    assert run(["diagnostics", "--reset", "driver"]) == 0
    assert "can use Card" in capsys.readouterr().out
    assert not left_out_drivers(paths)
