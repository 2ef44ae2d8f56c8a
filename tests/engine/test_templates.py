import psutil
import pytest

from localllm.engine.templates import ChatTemplate
from localllm.errors import EngineError

HELLO = [{"role": "user", "content": "Hello"}]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def make(source, marker="<|im_start|>"):
    return ChatTemplate(source, lambda token: token == marker, TOKENS)


@pytest.fixture
def template():
    made = []

    def factory(*arguments):
        made.append(make(*arguments))
        return made[-1]

    yield factory
    for one in made:
        one.close()


def test_renders_as_hugging_face_does(template):
    source = (
        "{{ bos_token }}{% for m in messages %}\n    {% if loop.first %}\nA{% endif %}\n"
        "[{{ m['role'] }}]{{ m['content'] | trim }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    one = template(source)
    assert one.render([{"role": "user", "content": " Hi "}]) == "<s>A[user]Hi>"
    assert one.name == "file"


def test_loop_controls_generation_tag_json_and_date(template):
    source = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m | tojson }}{% endgeneration %}{% endfor %}{{ strftime_now('%Y') | length }}"
    )
    assert template(source).render([*HELLO, *HELLO]) == '{"role": "user", "content": "Hello"}4'


LOOPS = {
    "endless": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "memory": "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "padding": "{{ 'x' | center(9999999999) }}",
    "syntax": "{% for %}",
    "attack": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "undefined": "{{ nothing.at.all }}",
    "empty": "{# nothing #}",
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_bad_template_falls_back_and_says_so(template, name):
    one = template(LOOPS[name])
    one.check()
    assert one.render(HELLO) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert one.name == "ChatML"
    assert "did not work" in str(one.notices[0])


@pytest.mark.parametrize(
    ("marker", "name", "beginning"),
    [
        ("<start_of_turn>", "Gemma", "<s><start_of_turn>user\nHello<end_of_turn>"),
        ("<|start_header_id|>", "Llama 3", "<s><|start_header_id|>user<|end_header_id|>"),
        ("none of them", "plain", "User: Hello\nAssistant:"),
    ],
)
def test_a_model_without_template_gets_its_familys(template, marker, name, beginning):
    one = template(None, marker)
    assert one.render(HELLO).startswith(beginning)
    assert one.name == name
    assert bool(one.stops) == (name == "plain")


NO_SYSTEM = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}[{{ m.content }}]{% endfor %}"


def test_a_template_without_system_role_gets_its_text_with_the_first_message(template):
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    assert template(NO_SYSTEM).render(messages) == "[Be brief.\n\nHello]"


def test_what_a_template_refuses_is_said(template):
    with pytest.raises(EngineError, match="refuses this conversation: never"):
        template("{{ raise_exception('never') }}").render(HELLO)


def test_a_template_that_fails_later_stays_and_says_so(template):
    one = template("{% for m in messages %}{{ 1 // (5 - (m.content | length)) }}{% endfor %}ok")
    with pytest.raises(EngineError, match="fails on this conversation"):
        one.render(HELLO)
    assert one.render([{"role": "user", "content": "Hi"}]) == "0ok"
    assert one.name == "file"


def test_a_prompt_of_megabytes(template):
    one = template("{% for m in messages %}{{ m.content }}{% endfor %}")
    long = "日" * 500_000
    assert one.render([{"role": "user", "content": long}]) == long


def test_a_rendering_ends_with_the_engine_that_asked_for_it(template):
    one = template(LOOPS["endless"])
    process = psutil.Process(one._process._child.pid)
    one._process._wait(30)
    one._process._child.send({"template": LOOPS["endless"], "messages": HELLO, "tokens": {}})
    one._process._child._close_input()
    process.wait(30)
