"""The chat template of the file: the agent core's lines, from the system's words or from tools."""

import jinja2

from marque_train.episodes import Writer, render
from marque_train.export import TEMPLATE

LINES = "fetch(url,pick?) get data from a url\nbalance() show wallet balance"


def rendered(messages, **more):
    def tojson(value, separators=None):
        import json

        return json.dumps(value, ensure_ascii=False, separators=separators)

    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = tojson
    return environment.from_string(TEMPLATE).render(messages=messages, add_generation_prompt=True, **more)


def test_a_conversation_is_rendered_as_training_wrote_it():
    episode = Writer(8).episode("fetch_pay")
    messages = [dict(role="system", content=episode.system()), dict(role="user", content=episode.goal)]
    from marque_train.author import compact

    for made, result in episode.steps:
        messages.append(dict(role="assistant", content=compact(made)))
        if result is not None:
            messages.append(dict(role="tool", content=compact(result)))
    trained = "".join(text for text, _, _ in render(episode))
    assert rendered(messages) == trained + "<|call|>"


def test_tools_passed_as_such_are_the_same_lines():
    tools = [
        dict(type="function", function=dict(name="fetch", description="get data from a url", parameters=dict(type="object", properties=dict(url={}, pick={}), required=["url"]))),
        dict(type="function", function=dict(name="balance", description="show wallet balance", parameters=dict(type="object", properties={}))),
    ]
    user = dict(role="user", content="hi")
    in_words = rendered([dict(role="system", content=LINES), user])
    assert rendered([user], tools=tools) == in_words
    assert rendered([dict(role="system", content=""), user], tools=tools) == in_words
    both = rendered([dict(role="system", content="Be brief."), user], tools=tools)
    assert both == in_words.replace(LINES, f"Be brief.\n{LINES}")


def test_a_native_call_is_written_as_training_wrote_it():
    call = dict(type="function", id="1", function=dict(name="pay", arguments=dict(payee="Bob", amount="5 USDC")))
    text = rendered([dict(role="user", content="hi"), dict(role="assistant", content="", tool_calls=[call]), dict(role="tool", content="{}")])
    assert text == '<|user|>hi<|call|>{"tool":"pay","args":{"payee":"Bob","amount":"5 USDC"}}<|end|><|result|>{}<|call|>'
