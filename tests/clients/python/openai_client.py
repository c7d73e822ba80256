"""The official Python client against a running server: WOOTZ_URL, WOOTZ_KEY and WOOTZ_MODEL say which."""

import json
import os
from typing import Literal

import openai
from pydantic import BaseModel, Field

URL, KEY, MODEL = (os.environ[name] for name in ("WOOTZ_URL", "WOOTZ_KEY", "WOOTZ_MODEL"))
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
STORY = [
    {"role": "system", "content": "You tell short stories."},
    {"role": "user", "content": "Once upon a time there was a little boat."},
]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


def chat(**options):
    options = {"messages": STORY, "max_completion_tokens": 24, "seed": 7, "temperature": 0.8} | options
    return client.chat.completions.create(model=MODEL, **options)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def models():
    listed = [model.id for model in client.models.list()]
    assert listed == [MODEL], listed
    assert client.models.retrieve(MODEL).id == MODEL


def whole():
    answer = chat()
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-"), answer
    assert choice.message.role == "assistant" and choice.message.content and choice.message.refusal is None, choice
    assert choice.finish_reason in ("stop", "length"), choice
    usage = answer.usage
    assert 0 < usage.completion_tokens <= 24 and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens >= 0 and usage.completion_tokens_details.reasoning_tokens == 0
    assert chat().choices[0].message.content == choice.message.content, "the same seed, another answer"
    return choice.message.content


def streamed(text):
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant", chunks[0]
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == text, "a stream says something else"
    assert len({chunk.id for chunk in chunks}) == 1
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens > 0, chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason in ("stop", "length"), chunks[-2]


def logprobs():
    choice = chat(logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    text = b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace")
    assert text.strip() == choice.message.content.strip(), (text, choice.message.content)
    for token in tokens:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3, token
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
    chunks = chat(logprobs=True, top_logprobs=0, stream=True)
    streamed = [token for chunk in chunks for choice in chunk.choices for token in (choice.logprobs and choice.logprobs.content) or []]
    assert [token.token for token in streamed] == [token.token for token in tokens]


def several():
    answer = chat(n=3, temperature=1.0)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage.completion_tokens > 24


def stops():
    choice = chat(stop=[" ", "\n"], temperature=0, logit_bias={}).choices[0]
    assert choice.finish_reason in ("stop", "length") and " " not in choice.message.content, choice


def tools():
    answer = chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_completion_tokens=200)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    (call,) = choice.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.type == "function" and call.id and call.function.name == "get_weather", call
    assert arguments["city"] in ("Paris", "Oslo") and 1 <= arguments["days"] <= 7, arguments
    named = {"type": "function", "function": {"name": "get_weather"}}
    chunks = chat(tools=[WEATHER], tool_choice=named, parallel_tool_calls=False, max_completion_tokens=200, stream=True)
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].id and pieces[0].function.name == "get_weather" and all(piece.index == 0 for piece in pieces)
    assert all(piece.id is None and piece.function.name is None for piece in pieces[1:])
    json.loads("".join(piece.function.arguments or "" for piece in pieces))
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    after = chat(messages=[*STORY, choice.message, result], tools=[WEATHER], tool_choice="none")
    assert after.choices[0].message.content is not None


class Boat(BaseModel):
    name: str = Field(max_length=12)
    colour: str = Field(max_length=12)
    sails: int = Field(ge=0, le=9)


class Sail(BaseModel):
    """Sails a boat somewhere."""

    port: Literal["Oslo", "Lima"]


def predicted():
    usual = chat(temperature=0, max_completion_tokens=60)
    content = usual.choices[0].message.content
    answer = chat(temperature=0, max_completion_tokens=60, prediction={"type": "content", "content": content})
    details = answer.usage.completion_tokens_details
    assert answer.choices[0].message.content == content, answer
    assert usual.usage.completion_tokens_details.accepted_prediction_tokens == 0, usual
    assert details.accepted_prediction_tokens > 20 and details.rejected_prediction_tokens >= 0, details
    error = refused(openai.BadRequestError, lambda: chat(n=2, prediction={"type": "content", "content": content}))
    assert error.param == "prediction", error


def structured():
    answer = client.chat.completions.parse(model=MODEL, messages=STORY, response_format=Boat, max_tokens=400, temperature=0)
    assert isinstance(answer.choices[0].message.parsed, Boat), answer
    answer = chat(
        n=2,
        max_completion_tokens=400,
        response_format={"type": "json_schema", "json_schema": {"name": "choice", "schema": {"enum": ["red", "blue"]}}},
    )
    assert all(json.loads(choice.message.content) in ("red", "blue") for choice in answer.choices), answer
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=STORY,
        response_format=Boat,
        tools=[openai.pydantic_function_tool(Sail)],
        parallel_tool_calls=False,
        max_tokens=400,
        temperature=0,
    )
    (message,) = [choice.message for choice in answer.choices]
    if message.tool_calls:
        assert all(isinstance(call.function.parsed_arguments, Sail) for call in message.tool_calls), answer
    else:
        assert isinstance(message.parsed, Boat), answer
    answer = chat(extra_body={"guided_choice": ["yes", "no"]})
    assert answer.choices[0].message.content in ("yes", "no"), answer


def errors():
    error = refused(openai.AuthenticationError, openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0).models.list)
    assert error.code == "invalid_api_key", error
    error = refused(openai.NotFoundError, lambda: client.chat.completions.create(model="no-such", messages=STORY))
    assert error.code == "model_not_found", error
    error = refused(openai.BadRequestError, lambda: chat(temperature=-1))
    assert error.param == "temperature" and error.type == "invalid_request_error", error
    error = refused(openai.BadRequestError, lambda: chat(web_search_options={}))
    assert error.param == "web_search_options", error
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
    error = refused(openai.BadRequestError, lambda: chat(messages=[picture]))
    assert error.param == "messages[0].content[0].type", error
    refused(openai.BadRequestError, lambda: chat(extra_body={"no_such_option": 1}))


def completions():
    options = {"model": MODEL, "max_tokens": 12, "temperature": 0}
    answer = client.completions.create(prompt="Once upon a time", **options)
    assert answer.choices[0].text and answer.usage.completion_tokens <= 12, answer
    pieces = client.completions.create(prompt="Once upon a time", stream=True, **options)
    assert "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text
    batch = client.completions.create(prompt=["One day", "Once upon a time"], logprobs=1, echo=True, **options)
    assert batch.choices[1].text == "Once upon a time" + answer.choices[0].text, batch
    assert len(batch.choices[1].logprobs.tokens) == len(batch.choices[1].logprobs.token_logprobs)


def main():
    models()
    streamed(whole())
    for check in (logprobs, several, stops, tools, structured, predicted, errors, completions):
        check()
        print(f"openai {openai.__version__} (Python): {check.__name__} ok")


main()
