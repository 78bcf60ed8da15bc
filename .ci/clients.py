"""The official clients against a running service: each check prints one line, the first that fails ends the run."""
import http.server
import json
import sys
import threading

import anthropic
import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

BASE = sys.argv[1]
CALLER = "openai/caller"
QUESTION = "How do I refresh the knowledge?"
MODEL = "custom/smollm2"
KEY = "nobody-asks-for-one"
TOOL = {"name": "set_alarm", "description": "Sets an alarm", "parameters": {
    "type": "object", "properties": {"hour": {"type": "integer"}}, "required": ["hour"]}}


class Person(BaseModel):
    name: str
    age: int


class Caller(http.server.BaseHTTPRequestHandler):
    """A provider that calls the first tool it is shown: the small model cannot be made to."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            data = [{"index": at, "embedding": [float(len(it)), 1.0]} for at, it in enumerate(body["input"])]
            return self.send(json.dumps({"data": data, "usage": {"prompt_tokens": 3}}), "application/json")
        answered = body["messages"][-1]["role"] != "user" or any(it["role"] == "tool" for it in body["messages"])
        name = body["tools"][0]["function"]["name"]
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"hour": 7}'}}
        said = {"role": "assistant", "content": "Done."} if answered else {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "stop" if answered else "tool_calls"
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        if body.get("stream"):
            pieces = [{"tool_calls": [{"index": 0, **call, "function": {"name": name, "arguments": ""}}]}]
            pieces += [{"tool_calls": [{"index": 0, "function": {"arguments": it}}]} for it in ('{"ho', 'ur": 7}')]
            chunks = [{"choices": [{"index": 0, "delta": it, "finish_reason": None}]} for it in ([{"content": "Done."}] if answered else pieces)]
            chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}, {"choices": [], "usage": usage}]
            text = "".join(f"data: {json.dumps({'id': 'c', 'model': 'caller', **it})}\n\n" for it in chunks) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            text, kind = json.dumps({"id": "c", "model": "caller", "choices": [{"index": 0, "message": said, "finish_reason": reason}], "usage": usage}), "application/json"
        self.send(text, kind)

    def send(self, text, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Caller).serve_forever, daemon=True).start()


def passed(name, detail=""):
    print(f"ok  {name}{': ' + str(detail)[:90] if detail else ''}", flush=True)


def ask(text, **more):
    return dict(messages=[{"role": "user", "content": text}], **more)


client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0, timeout=300)

answer = client.chat.completions.create(model="rag/extractive", **ask(QUESTION))
assert "rebuild the index" in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
assert answer.omni["citations"] and all(it["verified"] for it in answer.omni["citations"]), answer.omni
passed("openai: extractive answer with citations", answer.choices[0].message.content.split("\n")[0])

chunks = list(client.chat.completions.create(model="rag/extractive", stream=True, stream_options={"include_usage": True}, **ask(QUESTION)))
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert text == answer.choices[0].message.content and chunks[-1].usage.total_tokens == 0 and not chunks[-1].choices
passed("openai: extractive answer, streamed", f"{len(chunks)} chunks")

answer = client.chat.completions.create(model=MODEL, max_tokens=24, temperature=0, seed=1, **ask("Say hello."))
assert answer.choices[0].message.content.strip() and 0 < answer.usage.completion_tokens <= 24
passed("openai: chat", repr(answer.choices[0].message.content))

chunks = list(client.chat.completions.create(model=MODEL, max_tokens=24, temperature=0, seed=1, stream=True,
                                             stream_options={"include_usage": True}, **ask("Say hello.")))
assert len(chunks) > 4 and chunks[-1].usage.completion_tokens > 0
assert chunks[-2].choices[0].finish_reason in ("stop", "length")
passed("openai: chat, streamed", f"{len(chunks)} chunks")

with client.chat.completions.stream(model=MODEL, max_tokens=200, temperature=0, stop=["!", ".", ","], **ask("Say hello.")) as stream:
    final = stream.get_final_completion()
assert final.choices[0].message.content
passed("openai: the SDK folds the stream")

answer = client.chat.completions.create(model=f"rag/{MODEL}", max_tokens=32, temperature=0, **ask(QUESTION))
assert answer.omni["rag_context"] and "citations" in answer.omni
passed("openai: a model answers from the index", answer.choices[0].message.content)

parsed = client.chat.completions.parse(model=MODEL, max_tokens=200, temperature=0, response_format=Person,
                                       **ask("Ada Lovelace is 36 years old. Give her name and age."))
assert isinstance(parsed.choices[0].message.parsed, Person), parsed
passed("openai: structured output", f"{parsed.choices[0].message.parsed!r} by {parsed.omni['structured_output']['rung']}")

called = client.chat.completions.create(model=CALLER, max_tokens=100, temperature=0, tools=[{"type": "function", "function": TOOL}],
                                        tool_choice="required", **ask("Wake me at seven."))
call = called.choices[0].message.tool_calls[0]
assert call.function.name == "set_alarm" and isinstance(json.loads(call.function.arguments)["hour"], int), called
assert called.choices[0].finish_reason == "tool_calls"
passed("openai: tools", call.function.arguments)

chunks = list(client.chat.completions.create(model=CALLER, max_tokens=100, temperature=0, stream=True,
                                             tools=[{"type": "function", "function": TOOL}], tool_choice="required", **ask("Wake me at seven.")))
parts = [it for chunk in chunks if chunk.choices for it in chunk.choices[0].delta.tool_calls or []]
assert parts[0].function.name == "set_alarm"
json.loads("".join(it.function.arguments or "" for it in parts))
passed("openai: tools, streamed", f"{len(parts)} pieces")

history = [{"role": "user", "content": "Wake me at seven."}, called.choices[0].message,
           {"role": "tool", "tool_call_id": call.id, "content": "done"}]
answer = client.chat.completions.create(model=CALLER, max_tokens=16, messages=history, tools=[{"type": "function", "function": TOOL}])
assert answer.choices[0].finish_reason
passed("openai: a tool's result goes back")

vectors = client.embeddings.create(model="local", input=["a red apple", "a green apple", "tax law"]).data
dot = lambda a, b: sum(x * y for x, y in zip(a.embedding, b.embedding))
assert len(vectors) == 3 and dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2]) and abs(dot(vectors[0], vectors[0]) - 1) < 1e-3
floats = client.embeddings.create(model="local/all-MiniLM-L6-v2", input="a red apple", encoding_format="float").data[0]
assert abs(dot(vectors[0], floats) - 1) < 1e-3
passed("openai: embeddings", f"{len(floats.embedding)} dimensions")

names = [model.id for model in client.models.list()]
assert {"rag/extractive", MODEL, f"rag/{MODEL}", "local/all-MiniLM-L6-v2"} <= set(names), names
assert client.models.retrieve("rag/extractive").owned_by == "omni-llm"
passed("openai: models", names)

for error, arguments in [(openai.NotFoundError, dict(model="nobody/x", **ask("x"))), (openai.BadRequestError, dict(model=MODEL, messages=[])),
                         (openai.BadRequestError, dict(model=MODEL, n=3, **ask("x")))]:
    try:
        client.chat.completions.create(**arguments)
        raise SystemExit(f"no error: {arguments}")
    except error as caught:
        assert caught.body["message"], caught.body
passed("openai: errors")

claude = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0, timeout=300)

answer = claude.messages.create(model="rag/extractive", max_tokens=200, **ask(QUESTION))
assert "rebuild the index" in answer.content[0].text and answer.stop_reason == "end_turn"
with claude.messages.stream(model="rag/extractive", max_tokens=200, **ask(QUESTION)) as stream:
    text = "".join(stream.text_stream)
assert text == answer.content[0].text
passed("anthropic: extractive answer, whole and streamed")

answer = claude.messages.create(model=MODEL, max_tokens=24, extra_body={"temperature": 0}, system="Be brief.", **ask("Say hello."))
assert answer.content[0].text and answer.usage.output_tokens > 0 and answer.usage.input_tokens > 0
with claude.messages.stream(model=MODEL, max_tokens=24, extra_body={"temperature": 0}, **ask("Say hello.")) as stream:
    final = stream.get_final_message()
assert final.content[0].text and final.stop_reason in ("end_turn", "max_tokens") and final.usage.output_tokens > 0, final
passed("anthropic: chat, whole and streamed", final.usage)

tool = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["parameters"]}
answer = claude.messages.create(model=CALLER, max_tokens=100, tools=[tool], tool_choice={"type": "any"}, **ask("Wake me at seven."))
use = next(block for block in answer.content if block.type == "tool_use")
assert use.name == "set_alarm" and isinstance(use.input["hour"], int) and answer.stop_reason == "tool_use"
with claude.messages.stream(model=CALLER, max_tokens=100, tools=[tool], tool_choice={"type": "any"}, **ask("Wake me at seven.")) as stream:
    final = stream.get_final_message()
assert any(block.type == "tool_use" and "hour" in block.input for block in final.content), final
history = [{"role": "user", "content": "Wake me at seven."}, {"role": "assistant", "content": answer.content},
           {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "done"}, {"type": "text", "text": "Thanks."}]}]
assert claude.messages.create(model=CALLER, max_tokens=16, tools=[tool], messages=history).stop_reason
passed("anthropic: tools, whole, streamed and back", use.input)

@anthropic.beta_tool
def set_alarm(hour: int) -> str:
    """Sets an alarm."""
    asked.append(hour)
    return "done"


# It opens a thread unasked, and must send the whole conversation once that is refused.
asked = []
final = claude.beta.messages.tool_runner(model=CALLER, max_tokens=100, tools=[set_alarm], **ask("Wake me at seven.")).until_done()
assert asked == [7] and final.content[0].text == "Done.", (asked, final)
passed("anthropic: the tool runner", final.content[0].text)

schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"], "additionalProperties": False}
answer = claude.messages.create(model=MODEL, max_tokens=200, extra_body={"temperature": 0}, output_config={"format": {"type": "json_schema", "schema": schema}},
                                **ask("Ada Lovelace is 36 years old. Give her name and age."))
assert set(json.loads(answer.content[0].text)) == {"name", "age"}
passed("anthropic: structured output", answer.content[0].text)

for error, arguments in [(anthropic.NotFoundError, dict(model="nobody/x", max_tokens=1, **ask("x"))),
                         (anthropic.BadRequestError, dict(model=MODEL, max_tokens=1, messages=[]))]:
    try:
        claude.messages.create(**arguments)
        raise SystemExit(f"no error: {arguments}")
    except error as caught:
        assert caught.body["error"]["message"], caught.body
passed("anthropic: errors")

chain = ChatOpenAI(model=MODEL, base_url=f"{BASE}/v1", api_key=KEY, temperature=0, max_tokens=200, timeout=300, max_retries=0)
assert chain.invoke("Say hello.").content
assert len([piece for piece in chain.stream("Say hello.") if piece.content]) > 2
passed("langchain: chat, whole and streamed")
person = chain.with_structured_output(Person, method="json_schema").invoke("Ada Lovelace is 36 years old. Give her name and age.")
assert isinstance(person, Person), person
passed("langchain: structured output", repr(person))
caller = ChatOpenAI(model=CALLER, base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
assert caller.bind_tools([{"type": "function", "function": TOOL}], tool_choice="required").invoke("Wake me at seven.").tool_calls[0]["name"] == "set_alarm"
passed("langchain: tools")
index = ChatOpenAI(model="rag/extractive", base_url=f"{BASE}/v1", api_key=KEY)
assert "rebuild the index" in index.invoke(QUESTION).content
vectors = OpenAIEmbeddings(model="local", base_url=f"{BASE}/v1", api_key=KEY, check_embedding_ctx_length=False).embed_documents(["a", "b"])
assert len(vectors) == 2 and len(vectors[0]) == 384
# What it sends by default, in the place of texts; the numbers themselves it would have to fetch.
answer = client.embeddings.create(model="openai/text-embedding-3-small", input=[[9906, 1917], [82]], encoding_format="float")
assert [it.embedding for it in answer.data] == [[2.0, 1.0], [1.0, 1.0]] and answer.usage.prompt_tokens == 3 and answer.omni["cost_usd"] > 0, answer
try:
    client.embeddings.create(model="local", input=[[9906, 1917]])
    raise SystemExit("token numbers were taken for texts")
except openai.BadRequestError as error:
    assert "check_embedding_ctx_length=False" in error.message and error.param == "input", error
passed("langchain: the index and the embeddings")
