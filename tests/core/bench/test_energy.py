import pynvml
import pytest

from localllm.core.bench import energy
from localllm.core.bench.energy import Meters, cost_per_million, why_no_energy
from tests.core.bench.rows import row


@pytest.fixture
def powercap(tmp_path):
    for zone in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "max_energy_range_uj").write_text("262143328850\n")
        (tmp_path / zone / "energy_uj").write_text("1000000\n")
    return tmp_path


def test_whole_processors_are_added_up_and_meters_turn_over(powercap):
    meters = Meters(powercap)
    before = meters.read()
    (powercap / "intel-rapl:0" / "energy_uj").write_text("3500000\n")  # 2.5 J more
    (powercap / "intel-rapl:0:0" / "energy_uj").write_text("9000000\n")  # a part of the same
    (powercap / "intel-rapl:1" / "energy_uj").write_text("500000\n")  # began anew
    spent = meters.read().since(before)
    meters.close()
    assert spent == pytest.approx(2.5 + 262143.32885 - 0.5, abs=1)


def test_a_meter_that_may_not_be_read_is_none(powercap, monkeypatch):
    def refuse():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    for zone in powercap.iterdir():
        (zone / "energy_uj").unlink()
    meters = Meters(powercap)
    assert meters.read() is None
    meters.close()


def test_a_meter_that_stops_answering_is_no_end(powercap):
    meters = Meters(powercap)
    assert meters.read() is not None
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert meters.read() is None
    meters.close()


def test_a_card_that_is_lost_is_no_end(tmp_path, monkeypatch):
    answers = [1000, 2000]

    def consumption(_card):
        if not answers:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return answers.pop()

    for name, answer in (
        ("nvmlInit", None), ("nvmlShutdown", None), ("nvmlDeviceGetCount", 1), ("nvmlDeviceGetHandleByIndex", "card")
    ):  # fmt: skip
        monkeypatch.setattr(pynvml, name, lambda *_asked, answer=answer: answer)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", consumption)
    meters = Meters(tmp_path)
    assert meters.read() is not None
    assert meters.read() is None
    meters.close()


def test_cost():
    """3.6 J a token are one kWh for a million."""
    assert cost_per_million(3.6, 0.25) == pytest.approx(0.25)
    assert row().joules_per_token is None


def test_it_is_said_why_there_is_no_energy(powercap, monkeypatch, tmp_path):
    assert why_no_energy(powercap) is None
    monkeypatch.setattr(energy, "_number", lambda _file: None)
    assert "administrator" in why_no_energy(powercap).template
    assert "no meter" in why_no_energy(tmp_path / "nowhere").template
