from hypothesis import given
from hypothesis import strategies as st

from localllm.engine.child.text_stream import TextStream


def run(pieces, stops=()):
    stream = TextStream(stops)
    shown = []
    for piece in pieces:
        shown.append(stream.feed(piece))
        if stream.stopped:
            break
    return "".join(shown) + stream.finish(), stream.stopped


@given(st.text(), st.data())
def test_characters_are_never_cut(text, data):
    encoded = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=20)))
    pieces = [encoded[a:b] for a, b in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
    stream = TextStream()
    for piece in pieces:
        assert "\ufffd" not in stream.feed(piece).replace("\ufffd", "", text.count("\ufffd"))
    assert run(pieces)[0] == encoded.decode()


@given(
    st.text("ab\n", max_size=40), st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3)
)
def test_nothing_from_a_stop_string_on_is_shown(text, stops):
    found = [text.find(stop) for stop in stops if stop in text]
    shown, stopped = run([c.encode() for c in text], stops)
    assert stopped == bool(found)
    if not found:
        assert shown == text
    else:
        assert text.startswith(shown)
        assert not any(stop in shown for stop in stops)


def test_half_a_character_at_the_end_is_dropped():
    assert run(["año".encode()[:2]])[0] == "a"


def test_text_that_could_begin_a_stop_string_waits():
    stream = TextStream(["\nUser:"])
    assert stream.feed(b"Yes.\nUs") == "Yes."
    assert stream.feed(b"eful") == "\nUseful"
