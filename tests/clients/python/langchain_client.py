"""LangChain's ChatOpenAI against a running server: WOOTZ_URL, WOOTZ_KEY and WOOTZ_MODEL say which."""

import os
from typing import Literal

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

URL, KEY, MODEL = (os.environ[name] for name in ("WOOTZ_URL", "WOOTZ_KEY", "WOOTZ_MODEL"))
model = ChatOpenAI(base_url=f"{URL}/v1", api_key=KEY, model=MODEL, max_tokens=200, temperature=0.7, seed=3, max_retries=0)
STORY = [SystemMessage("You tell short stories."), HumanMessage("A story about a boat.")]


@tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather at a place."""
    return f"sunny in {city}"


class Boat(BaseModel):
    """A boat."""

    name: str = Field(max_length=12)
    sails: int = Field(ge=0, le=9)


def main():
    answer = model.invoke(STORY, max_tokens=24)
    assert answer.content and answer.usage_metadata["output_tokens"] <= 24, answer
    whole = None
    for chunk in model.stream(STORY, max_tokens=24, stream_usage=True):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == answer.content, (whole.content, answer.content)
    assert whole.usage_metadata["output_tokens"] == answer.usage_metadata["output_tokens"], whole
    bound = model.bind_tools([get_weather], tool_choice="any", parallel_tool_calls=False)
    called = bound.invoke(STORY)
    (call,) = called.tool_calls
    assert call["name"] == "get_weather" and call["args"]["city"] in ("Paris", "Oslo"), called
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage) and result.content.startswith("sunny")
    assert model.invoke([*STORY, called, result], max_tokens=24).content is not None
    for method in ("json_schema", "function_calling"):
        boat = model.with_structured_output(Boat, method=method).invoke(STORY)
        assert isinstance(boat, Boat), boat
    print("LangChain ChatOpenAI: messages, streams, tools, structured output ok")


main()
