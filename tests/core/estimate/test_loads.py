import threading

from localllm.core.estimate.loads import VOCABULARY_BYTES, Load, LoadHistory, gpu_overhead, host_overhead

MIB = 2**20


def load(model="a", vocabulary=50_000, host=80 * MIB, gpu=0, backend="CPU", at=1.0):
    return Load("here", backend, model, model, vocabulary, 100, 110, host, gpu, at)


def test_loads_come_back_newest_first_and_by_backend(tmp_path):
    history = LoadHistory(tmp_path / "loads.db")
    history.add(load("a", at=1.0))
    history.add(load("b", at=2.0))
    history.add(load("c", backend="CPU+CUDA0", at=3.0))
    assert [entry.model for entry in history.last("here", "CPU")] == ["b", "a"]
    assert history.last("elsewhere", "CPU") == []


def test_the_same_model_keeps_its_own_overhead_and_another_gets_its_vocabulary():
    loads = [load("a", 50_000, 80 * MIB)]
    assert host_overhead(loads, "a", 50_000) == 80 * MIB
    assert host_overhead(loads, "b", 150_000) == 80 * MIB + 100_000 * VOCABULARY_BYTES
    assert host_overhead([], "a", 50_000) is None


def test_of_drivers_the_largest_counts_for_too_little_ends_the_engine():
    loads = [load("a", gpu=600 * MIB), load("b", gpu=700 * MIB)]
    assert gpu_overhead(loads, "a") == 600 * MIB
    assert gpu_overhead(loads, "c") == 700 * MIB
    assert gpu_overhead([load()], "a") is None


def test_two_programs_write_at_once(tmp_path):
    def write(name):
        history = LoadHistory(tmp_path / "loads.db")
        for _ in range(10):
            history.add(load(name))

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LoadHistory(tmp_path / "loads.db").last("here", "CPU")) == 40


def test_a_folder_that_cannot_be_written_costs_the_memory_of_it_only(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    history = LoadHistory(blocked / "loads.db")
    history.add(load())
    assert history.last("here", "CPU") == []
