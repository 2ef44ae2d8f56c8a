"""Charts of benches: what is drawn, and words that are whole, apart, and as large as all other text."""

import pytest

from localllm.core.bench.charts import across_of, lines_of, roof_points
from localllm.ui.itemmodels.bench import model_of
from localllm.ui.pages.bench_pictures import bars, lines
from localllm.ui.widgets.bench_chart import BenchChart
from tests.ui.bench_rows import DEPTHS, READS, row

MODELS = ("SmolLM2-135M-Instruct.Q4_K_M", "SmolLM2-135M-Instruct.Q8_0", "Another-Model-1B.Q4_0")
ROWS = [
    row(speed, depth=depth, model=model)
    for model, speed in zip(MODELS, (20.0, 20.1, 5.0), strict=True)
    for depth in (0, 1024)
]


@pytest.fixture
def chart(services, show, qtbot):
    made = show(BenchChart(services.theme, services.jobs), 700, 300)
    made.prepare()
    qtbot.waitUntil(lambda: made.ready)
    return made


def resize(chart, width, qtbot):
    chart.resize(width, 300)
    qtbot.waitUntil(lambda: 0 < width - chart._plot.width() < 30 and chart.canvas.inside.width() < width)


def test_names_behind_lines_are_whole_and_apart(chart, qtbot):
    chart.show_picture(lines(ROWS, "n_depth"))
    for width in (1000, 700, 460):
        resize(chart, width, qtbot)
        first, *others = sorted((words.area for words in chart.canvas.words), key=lambda area: area.top())
        for words in chart.canvas.words:
            assert words.area.right() <= chart.canvas.inside.right() + 1
            assert words.area.width() >= words.size[0]
            assert words.area.bottom() <= chart.canvas.inside.bottom() + 1
        for area in others:
            assert area.top() > first.top() + 0.8 * first.height()
            first = area


def test_words_too_long_for_the_chart_are_cut_by_us_and_not_by_its_edge(chart, qtbot):
    chart.show_picture(lines([row(model="m" * 60), row(model="m" * 60, depth=1), row(model="n")], "n_depth"))
    resize(chart, 300, qtbot)
    for words in chart.canvas.words:
        assert words.area.right() <= chart.canvas.inside.right() + 1


def test_names_at_the_left_leave_room_for_bars_and_whole_speeds(chart, qtbot):
    chart.show_picture(bars(ROWS))
    for width in (1000, 300):
        resize(chart, width, qtbot)
        qtbot.waitUntil(lambda width=width: chart.canvas.inside.width() > 0.4 * width)
        for words in chart.canvas.words:
            assert words.area.width() >= words.size[0]
            assert words.area.right() <= chart.canvas.inside.right() + 1


def test_numbers_below_are_apart(chart, qtbot):
    depths = (0, 512, 1024, 2048, 16384)
    chart.show_picture(lines([row(depth=depth) for depth in depths], "n_depth"))
    shown = {}
    for width in (1600, 460):
        resize(chart, width, qtbot)
        (ticks,) = chart._plot.plotItem.getAxis("bottom")._tickLevels
        shown[width] = sorted(place for place, _ in ticks)
    assert shown[1600] == list(depths)
    assert set(shown[460]) < set(depths)
    assert shown[460][-2:] == [2048, 16384]


def test_words_grow_with_all_text(chart, services):
    chart.show_picture(bars(ROWS))
    before, high = chart.canvas.words[0].size, chart.minimumHeight()
    services.theme.set_text_size(150)
    try:
        after = chart.canvas.words[0].size
        assert chart.minimumHeight() > 1.4 * high
    finally:
        services.theme.set_text_size(100)
    assert after[0] > 1.4 * before[0]
    assert chart.canvas.words[0].size == before


def test_a_model_is_called_by_its_file_on_any_system():
    names = [model_of(row(model=words)) for words in ("a/tiny", "C:\\models\\tiny")]
    assert names == ["tiny", "tiny"]


def test_lines_join_what_differs_in_one_number():
    rows = [*DEPTHS, *(row(10.0, depth=depth, kv="q8_0") for depth in (4096, 0))]
    assert across_of(rows) == ("n_depth",)
    first, second = lines_of(rows, "n_depth")
    assert [one.number("n_depth") for one in first.rows] == [0, 1024, 4096]
    assert [one.number("n_depth") for one in second.rows] == [0, 4096]
    assert dict(second.key) == {"type_k": "q8_0", "type_v": "q8_0"}


def test_roofline_counts_what_a_token_reads():
    written, read = roof_points([DEPTHS[0], READS[0]], {})
    assert written.intensity == pytest.approx(2e9 / 600e6)
    assert written.rate == pytest.approx(2e9 * DEPTHS[0].mean)
    assert read.intensity == pytest.approx(128 * 2e9 / 600e6)
    (expert,) = roof_points([DEPTHS[0]], {"/models/tiny.gguf": 0.25})
    assert expert.intensity == pytest.approx(written.intensity)
    assert expert.rate == pytest.approx(written.rate / 4)
