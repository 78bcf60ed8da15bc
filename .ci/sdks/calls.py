"""The golden requests in the words of each official SDK: what somebody who knows the SDK, and nothing of our dialects, would write.

What an SDK has no word for is left out where the request still means the same, and `Unsaid` otherwise.
"""
import base64
import itertools
import json

import anthropic
import boto3
import cohere
import groq
import mistralai.client as mistralai
import openai
from botocore.config import Config
from google import genai
from google.genai import types


class Unsaid(Exception):
    """The SDK has no words for it."""


def kind(part):
    return next(iter(part))


def plain(parts):
    return [part["text"] for part in parts if "text" in part]


def own_words(parts):
    """What an assistant said; a refusal is a text to everybody, and who cited what is known to one."""
    return [{"text": part["refusal"]} if "refusal" in part else part for part in parts if "citation" not in part]


def without(**fields):
    """Fields that are said."""
    return {name: value for name, value in fields.items() if value is not None}


def data_url(base):
    return f"data:{base['media_type']};base64,{base['data']}"


def sorted_tools(request):
    # A set; its order is ours to choose.
    return sorted(request.get("tools", []), key=lambda tool: tool["name"]) or None


def as_json(text):
    try:
        return json.loads(text or "{}")
    except ValueError:
        raise Unsaid("arguments that are no JSON")


# --- OpenAI, Groq and Mistral: one shape with differences -------------------------------------------------------------------------


def compatible_block(part, who):
    match part:
        case {"text": text}:
            return {"type": "text", "text": text}
        case {"image": {"source": source, **more}}:
            url = source["url"]["url"] if "url" in source else data_url(source["base64"])
            return {"type": "image_url", "image_url": without(url=url, detail=more.get("detail"))}
        case {"document": {"source": {"base64": base}, **more}} if who == "mistral":
            return without(type="document_url", document_url=data_url(base), document_name=more.get("name"))
        case {"document": {"source": {"url": address}, **more}} if who == "mistral":
            return without(type="document_url", document_url=address["url"], document_name=more.get("name"))
        case {"document": {"source": {"base64": base}, **more}} if who == "openai":
            return {"type": "file", "file": without(filename=more.get("name"), file_data=data_url(base))}
    raise Unsaid(f"no {kind(part)} of this kind")


def compatible_content(parts, who):
    blocks = []
    for part in parts:
        if mark := part.get("cache_point"):
            if who == "openai":
                blocks[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
            continue
        blocks.append(compatible_block(part, who))
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def compatible_messages(request, who):
    messages = []
    for message in request["messages"]:
        role, parts = message["role"], own_words(message["parts"])
        if role == "tool":
            results = [part["tool_result"] for part in parts]
            messages += [{"role": "tool", "tool_call_id": it["call_id"], "content": compatible_content(it["content"], who)} for it in results]
        elif role == "assistant":
            calls = [part["tool_call"] for part in parts if "tool_call" in part]
            thoughts = [part["reasoning"]["text"] for part in parts if part.get("reasoning", {}).get("text")]
            texts = [{"type": "text", "text": text} for text in plain(parts)]
            if who == "mistral" and thoughts:
                content = [{"type": "thinking", "thinking": [{"type": "text", "text": text}]} for text in thoughts] + texts
            else:
                content = compatible_content([part for part in parts if "text" in part], who) or None
            said = {"role": "assistant", "content": content}
            if who == "groq" and thoughts:
                said["reasoning"] = "\n".join(thoughts)
            if who == "mistral" and message is request["messages"][-1]:
                said["prefix"] = True
            if calls:
                said["tool_calls"] = [{"id": it["id"], "type": "function", "function": {"name": it["name"], "arguments": it["arguments"] or "{}"}}
                                      for it in calls]
            messages.append(said)
        else:
            messages.append({"role": role, "content": compatible_content(parts, who)})
    return messages


def compatible_tools(request):
    tools = sorted_tools(request)
    return tools and [{"type": "function", "function": without(name=tool["name"], description=tool.get("description"), parameters=tool["parameters"],
                                                                strict=tool.get("strict"))} for tool in tools]


def compatible_choice(choice):
    return {"type": "function", "function": {"name": choice["tool"]}} if isinstance(choice, dict) else choice


def compatible_format(format):
    if isinstance(format, dict):
        return {"type": "json_schema", "json_schema": format["json_schema"]}
    return format and {"type": format}


def openai_fields(request, model, who="openai"):
    sampling, reasoning = request.get("sampling", {}), request.get("reasoning", {})
    return without(
        model=model, messages=compatible_messages(request, who), temperature=sampling.get("temperature"),
        max_completion_tokens=sampling.get("max_tokens"), top_p=sampling.get("top_p"), frequency_penalty=sampling.get("frequency_penalty"),
        presence_penalty=sampling.get("presence_penalty"), stop=sampling.get("stop_sequences"), seed=sampling.get("seed"),
        reasoning_effort=reasoning.get("effort"), tools=compatible_tools(request), tool_choice=compatible_choice(request.get("tool_choice")),
        parallel_tool_calls=request.get("parallel_tool_calls"), response_format=compatible_format(request.get("response_format")),
        service_tier=request.get("service_tier"), user=request.get("user"), extra_body=request.get("extra"))


def ask_openai(url, request, model, stream=False):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="test-key", max_retries=0)
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return lambda: client.chat.completions.create(**openai_fields(request, model), **more)


def ask_groq(url, request, model, stream=False):
    client = groq.Groq(base_url=url, api_key="test-key", max_retries=0)
    more = {"stream": True} if stream else {}
    return lambda: client.chat.completions.create(**openai_fields(request, model, "groq"), **more)


def ask_mistral(url, request, model, stream=False):
    client = mistralai.Mistral(api_key="test-key", server_url=url)
    sampling, reasoning = request.get("sampling", {}), request.get("reasoning", {})
    fields = without(
        model=model, messages=compatible_messages(request, "mistral"), temperature=sampling.get("temperature"), max_tokens=sampling.get("max_tokens"),
        top_p=sampling.get("top_p"), frequency_penalty=sampling.get("frequency_penalty"), presence_penalty=sampling.get("presence_penalty"),
        stop=sampling.get("stop_sequences"), random_seed=sampling.get("seed"), reasoning_effort=reasoning.get("effort"),
        tools=compatible_tools(request), tool_choice="any" if request.get("tool_choice") == "required" else compatible_choice(request.get("tool_choice")),
        parallel_tool_calls=request.get("parallel_tool_calls"), response_format=compatible_format(request.get("response_format")),
        **request.get("extra", {}))
    return lambda: (client.chat.stream if stream else client.chat.complete)(**fields)


# --- Anthropic ----------------------------------------------------------------------------------------------------------------------


def claude_blocks(parts):
    blocks = []
    for part in parts:
        if not own(part, "claude"):
            continue
        match part:
            case {"cache_point": ttl}:
                blocks[-1]["cache_control"] = {"type": "ephemeral"} | ({"ttl": ttl} if ttl != "5m" else {})
            case {"text": text}:
                blocks.append({"type": "text", "text": text})
            case {"image": {"source": {"url": address}}}:
                blocks.append({"type": "image", "source": {"type": "url", "url": address["url"]}})
            case {"image": {"source": {"base64": base}}}:
                blocks.append({"type": "image", "source": {"type": "base64", **base}})
            case {"document": {"source": source, **more}}:
                of = {"text": lambda it: {"type": "text", "media_type": "text/plain", "data": it},
                      "url": lambda it: {"type": "url", "url": it["url"]}, "base64": lambda it: {"type": "base64", **it}}
                blocks.append(without(type="document", source=of[kind(source)](source[kind(source)]), title=more.get("name"),
                                      context=more.get("context"), citations={"enabled": True} if more.get("cited") else None))
            case {"citation": {"value": value}}:
                blocks[-1].setdefault("citations", []).append(value)
            case {"refusal": text}:
                blocks.append({"type": "text", "text": text})
            case {"reasoning": {"redacted": data}}:
                blocks.append({"type": "redacted_thinking", "data": data})
            case {"reasoning": {"signature": signature, **more}}:
                blocks.append({"type": "thinking", "thinking": more.get("text", ""), "signature": signature})
            case {"reasoning": _}:
                raise Unsaid("a thought without a signature")
            case {"tool_call": it}:
                blocks.append({"type": "tool_use", "id": it["id"], "name": it["name"], "input": as_json(it["arguments"])})
            case {"tool_result": it}:
                inner = claude_blocks(it["content"])
                content = inner[0]["text"] if len(inner) == 1 and inner[0]["type"] == "text" else inner
                blocks.append(without(type="tool_result", tool_use_id=it["call_id"], content=content, is_error=it.get("is_error")))
            case {"raw": {"value": value}}:
                blocks.append(value)
    return blocks


def claude_thinking(request):
    """How Claude is told to think, and the effort."""
    reasoning, output = request.get("reasoning", {}), {"effort": request["effort"]} if "effort" in request else {}
    if "budget_tokens" in reasoning:
        return {"type": "enabled", "budget_tokens": reasoning["budget_tokens"]}, output
    if reasoning.get("effort") == "none":
        return {"type": reasoning.get("think", "disabled")}, output
    display = {"display": "summarized"} if reasoning.get("show") else {}
    if "effort" in reasoning:
        output = {"effort": reasoning["effort"]}
    return ({"type": "adaptive"} | display, output) if reasoning else (None, output)


def own(part, vendor):
    """Whether the part is no thought of another vendor's."""
    proof = part.get("reasoning", {}).get("signature", part.get("reasoning", {}).get("redacted", ""))
    return not proof or (proof.split(":")[0] if ":" in proof else "claude") == vendor


def turns(request, blocks, assistant="assistant", inside=False):
    """Turns of two sides: results of tools are the user's, and neighbours of one side are one turn."""
    found = []
    for message in request["messages"]:
        if message["role"] == "system" and (not inside or not found):
            continue
        role = {"assistant": assistant, "system": "system"}.get(message["role"], "user")
        if found and found[-1][0] == role:
            found[-1][1].extend(blocks(message["parts"]))
        else:
            found.append((role, blocks(message["parts"])))
    return found


def takes_system_inside(model):
    return any(name in model for name in ("opus-4-8", "opus-5", "sonnet-5", "haiku-5", "fable-5"))


def system_parts(request, inside=False):
    messages = request["messages"]
    if inside:
        messages = itertools.takewhile(lambda message: message["role"] == "system", messages)
    return [part for message in messages if message["role"] == "system" for part in message["parts"]]


def ask_anthropic(url, request, model, stream=False):
    # Without a timeout of the caller's the SDK refuses a bound that long.
    client = anthropic.Anthropic(base_url=url, api_key="test-key", max_retries=0, timeout=600)
    sampling, reasoning = request.get("sampling", {}), request.get("reasoning", {})
    inside = takes_system_inside(model)
    system = claude_blocks(system_parts(request, inside))
    if len(system) == 1 and system[0].keys() == {"type", "text"}:
        system = system[0]["text"]
    tools = sorted_tools(request)
    tools = tools and [without(name=tool["name"], description=tool.get("description"), input_schema=tool["parameters"], strict=tool.get("strict"),
                               cache_control={"type": "ephemeral"} if "cache" in tool else None, **tool.get("own", {}).get("value", {})) for tool in tools]
    tools = [tool["value"] for tool in request.get("native_tools", []) if tool["dialect"] == "anthropic"] + (tools or []) or None
    choice, words = request.get("tool_choice"), {"auto": "auto", "none": "none", "required": "any"}
    choice = {"type": "tool", "name": choice["tool"]} if isinstance(choice, dict) else choice and {"type": words[choice]}
    if request.get("parallel_tool_calls") is False:
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    thinking, output = claude_thinking(request)
    if isinstance(format := request.get("response_format"), dict):
        output["format"] = {"type": "json_schema", "schema": format["json_schema"]["schema"]}
    elif format:
        raise Unsaid("no JSON without a schema")
    fields = without(
        model=model, max_tokens=sampling.get("max_tokens", 64000 if "-4-5" in model else 128000), system=system or None,
        messages=[{"role": role, "content": blocks} for role, blocks in turns(request, claude_blocks, inside=inside)],
        stop_sequences=sampling.get("stop_sequences"), thinking=thinking,
        output_config=output or None, tools=tools, tool_choice=choice, service_tier=request.get("service_tier"),
        metadata={"user_id": request["user"]} if "user" in request else None, extra_headers=request.get("headers"),
        # Words that SDK 2 no longer has, because the newest models refuse them.
        extra_body={name: sampling[name] for name in ("temperature", "top_p", "top_k") if name in sampling} | request.get("extra", {}))
    return lambda: client.messages.create(**fields, **({"stream": True} if stream else {}))


# --- Bedrock ------------------------------------------------------------------------------------------------------------------------


def converse_blocks(parts):
    blocks = []
    for part in own_words(parts):
        if not own(part, "claude"):
            continue
        match part:
            case {"cache_point": ttl}:
                blocks.append({"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl != "5m" else {})})
            case {"text": text}:
                blocks.append({"text": text})
            case {"image": {"source": {"base64": base}}}:
                blocks.append({"image": {"format": base["media_type"].split("/")[1], "source": {"bytes": base64.b64decode(base["data"])}}})
            case {"document": {"source": {"base64": base}, **more}}:
                blocks.append({"document": {"format": "pdf", "name": more["name"], "source": {"bytes": base64.b64decode(base["data"])}}})
            case {"document": {"source": {"text": text}, **more}}:
                cited = without(context=more.get("context"), citations={"enabled": True} if more.get("cited") else None)
                blocks.append({"document": {"format": "txt", "name": more["name"], "source": {"bytes": text.encode()}} | cited})
            case {"reasoning": {"redacted": data}}:
                blocks.append({"reasoningContent": {"redactedContent": base64.b64decode(data)}})
            case {"reasoning": {"text": text, **more}}:
                if "signature" not in more:
                    raise Unsaid("a thought without a signature")
                blocks.append({"reasoningContent": {"reasoningText": {"text": text, "signature": more["signature"]}}})
            case {"tool_call": it}:
                blocks.append({"toolUse": {"toolUseId": it["id"], "name": it["name"], "input": as_json(it["arguments"])}})
            case {"tool_result": it}:
                status = {"status": "error"} if it.get("is_error") else {}
                blocks.append({"toolResult": {"toolUseId": it["call_id"], "content": converse_blocks(it["content"]), **status}})
            case _:
                raise Unsaid(f"no {kind(part)} of this kind")
    return blocks


def converse(url):
    return boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, aws_access_key_id="AKIDEXAMPLE",
                        aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", config=Config(retries={"total_max_attempts": 1}))


def ask_bedrock(url, request, model, stream=False):
    sampling, reasoning, more = request.get("sampling", {}), request.get("reasoning", {}), {}
    tools = []
    for tool in sorted_tools(request) or []:
        tools.append({"toolSpec": without(name=tool["name"], description=tool.get("description") or None, inputSchema={"json": tool["parameters"]},
                                          strict=tool.get("strict"))})
        tools += [{"cachePoint": {"type": "default"}}] if "cache" in tool else []
    choice, words = request.get("tool_choice"), {"auto": {"auto": {}}, "required": {"any": {}}}
    if choice == "none":
        raise Unsaid("no word for no tool")
    choice = {"tool": {"name": choice["tool"]}} if isinstance(choice, dict) else words.get(choice)
    thinking, output = claude_thinking(request)
    if thinking:
        more["thinking"] = thinking
    if "top_k" in sampling:
        more["top_k"] = sampling["top_k"]
    if isinstance(format := request.get("response_format"), dict):
        it = format["json_schema"]
        structure = without(schema=json.dumps(it["schema"], separators=(",", ":")), name=it["name"], description=it.get("description"))
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": structure}}
    elif format:
        raise Unsaid("no JSON without a schema")
    inference = without(maxTokens=sampling.get("max_tokens"), temperature=sampling.get("temperature"), topP=sampling.get("top_p"),
                        stopSequences=sampling.get("stop_sequences"))
    tier, inside = request.get("service_tier"), takes_system_inside(model)
    fields = without(
        modelId=model, messages=[{"role": role, "content": blocks} for role, blocks in turns(request, converse_blocks, inside=inside)],
        system=converse_blocks(system_parts(request, inside)) or None, inferenceConfig=inference or None,
        toolConfig=without(tools=tools, toolChoice=choice) if tools else None, outputConfig=output or None,
        additionalModelRequestFields=more or None, serviceTier={"type": tier} if tier else None, **request.get("extra", {}))
    client = converse(url)
    return lambda: (client.converse_stream if stream else client.converse)(**fields)


# --- Gemini -------------------------------------------------------------------------------------------------------------------------


def gemini_parts(names):
    def parts_of(parts):
        found = []
        for part in own_words(parts):
            if not own(part, "gemini"):
                continue
            match part:
                case {"text": text}:
                    found.append(types.Part(text=text))
                case {"image": {"source": {"base64": base}}} | {"document": {"source": {"base64": base}}}:
                    found.append(types.Part(inline_data=types.Blob(mime_type=base["media_type"], data=base64.b64decode(base["data"]))))
                case {"image": {"source": {"url": address}}}:
                    found.append(types.Part(file_data=types.FileData(file_uri=address["url"], mime_type=address.get("media_type"))))
                case {"document": {"source": {"url": address}}}:
                    found.append(types.Part(file_data=types.FileData(file_uri=address["url"], mime_type=address.get("media_type"))))
                case {"reasoning": {"signature": signature, **more}} if "text" in more:
                    found.append(types.Part(text=more["text"], thought=True, thought_signature=base64.b64decode(signature.split(":")[1])))
                case {"reasoning": {"signature": signature}}:
                    found[-1].thought_signature = base64.b64decode(signature.split(":")[1])
                case {"reasoning": _}:
                    pass
                case {"tool_call": it}:
                    names[it["id"]] = it["name"]
                    signature = base64.b64decode(it["signature"]) if "signature" in it else None
                    call = types.FunctionCall(id=it["id"], name=it["name"], args=as_json(it["arguments"]))
                    found.append(types.Part(function_call=call, thought_signature=signature))
                case {"tool_result": it}:
                    text = "".join(plain(it["content"]))
                    if len(plain(it["content"])) < len(it["content"]):
                        raise Unsaid("no pictures beside a function's answer")
                    try:
                        answer = json.loads(text)
                    except ValueError:
                        answer = text
                    answer = answer if isinstance(answer, dict) else {"error" if it.get("is_error") else "output": text}
                    found.append(types.Part(function_response=types.FunctionResponse(id=it["call_id"], name=names[it["call_id"]], response=answer)))
                case {"cache_point": _}:
                    pass
                case _:
                    raise Unsaid(f"no {kind(part)} of this kind")
        return found
    return parts_of


def ask_gemini(url, request, model, stream=False):
    client = genai.Client(api_key="test-key", http_options=types.HttpOptions(base_url=url, api_version="v1beta", retry_options=types.HttpRetryOptions(attempts=1)))
    sampling, reasoning = request.get("sampling", {}), request.get("reasoning", {})
    parts_of = gemini_parts({})
    contents = [types.Content(role=role, parts=parts) for role, parts in turns(request, parts_of, "model")]
    tools = sorted_tools(request)
    # A function without parameters has no schema.
    schema = lambda tool: tool["parameters"] if any(tool["parameters"].get(it) for it in ("properties", "additionalProperties", "anyOf")) else None
    tools = tools and [types.Tool(function_declarations=[types.FunctionDeclaration(name=tool["name"], description=tool.get("description"),
                                                                                   parameters_json_schema=schema(tool)) for tool in tools])]
    choice, words = request.get("tool_choice"), {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if isinstance(choice, dict):
        calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=[choice["tool"]])
    else:
        calling = choice and types.FunctionCallingConfig(mode=words[choice])
    thinking = None
    if "budget_tokens" in reasoning:
        thinking = types.ThinkingConfig(thinking_budget=reasoning["budget_tokens"])
    elif reasoning:
        effort = reasoning.get("effort", "high")
        if effort in ("none", "max"):
            raise Unsaid(f"no level `{effort}`")
        thinking = types.ThinkingConfig(thinking_level=effort.upper(), include_thoughts=reasoning.get("show"))
    format = request.get("response_format")
    system = system_parts(request)
    config = types.GenerateContentConfig(**without(
        system_instruction=types.Content(parts=parts_of(system)) if system else None, temperature=sampling.get("temperature"),
        top_p=sampling.get("top_p"), top_k=sampling.get("top_k"), max_output_tokens=sampling.get("max_tokens"),
        stop_sequences=sampling.get("stop_sequences"), seed=sampling.get("seed"), frequency_penalty=sampling.get("frequency_penalty"),
        presence_penalty=sampling.get("presence_penalty"), tools=tools, tool_config=types.ToolConfig(function_calling_config=calling) if calling else None,
        thinking_config=thinking, response_mime_type="application/json" if format else None,
        response_json_schema=format["json_schema"]["schema"] if isinstance(format, dict) else None,
        http_options=types.HttpOptions(extra_body=request["extra"]) if "extra" in request else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)))
    # The client closes its connections when nobody holds it.
    return lambda: (client.models.generate_content_stream if stream else client.models.generate_content)(model=model, contents=contents, config=config)


# --- Cohere -------------------------------------------------------------------------------------------------------------------------


def ask_cohere(url, request, model, stream=False):
    client = cohere.ClientV2(api_key="test-key", base_url=url)
    sampling, reasoning = request.get("sampling", {}), request.get("reasoning", {})
    documents, messages = [], []
    for message in request["messages"]:
        role, parts = message["role"], own_words(message["parts"])
        for part in parts:
            if "document" in part:
                it = part["document"]
                documents.append({"id": it["name"], "data": {"title": it["name"], "snippet": it["source"]["text"]}})
        parts = [part for part in parts if kind(part) not in ("document", "cache_point")]
        if role == "tool":
            results = [part["tool_result"] for part in parts]
            messages += [{"role": "tool", "tool_call_id": it["call_id"], "content": compatible_content(it["content"], "cohere")} for it in results]
        elif role == "assistant":
            calls = [{"id": it["id"], "type": "function", "function": {"name": it["name"], "arguments": it["arguments"] or "{}"}}
                     for it in (part["tool_call"] for part in parts if "tool_call" in part)]
            thoughts = [part["reasoning"]["text"] for part in parts if part.get("reasoning", {}).get("text")]
            texts = [part for part in parts if "text" in part]
            content = compatible_content(texts, "cohere") or None
            if thoughts and not calls:
                content = [{"type": "thinking", "thinking": "\n".join(thoughts)}] + [{"type": "text", "text": text} for text in plain(parts)]
            messages.append(without(role="assistant", tool_calls=calls or None, tool_plan="\n".join(thoughts) if thoughts and calls else None,
                                    content=content))
        else:
            messages.append({"role": role, "content": compatible_content(parts, "cohere")})
    choice = request.get("tool_choice")
    if isinstance(choice, dict):
        raise Unsaid("no word for one tool")
    format = request.get("response_format")
    if isinstance(format, dict):
        format = {"type": "json_object", "json_schema": format["json_schema"]["schema"]}
    elif format:
        format = {"type": "json_object"}
    thinking = None
    if "budget_tokens" in reasoning:
        thinking = {"type": "enabled", "token_budget": reasoning["budget_tokens"]}
    elif reasoning:
        thinking = {"type": "disabled" if reasoning.get("effort") == "none" else "enabled"}
    tools = compatible_tools(request)
    strict = True if any([tool["function"].pop("strict", False) for tool in tools or []]) else None
    fields = without(
        model=model, messages=messages, tools=tools, documents=documents or None, response_format=format, max_tokens=sampling.get("max_tokens"),
        stop_sequences=sampling.get("stop_sequences"), temperature=sampling.get("temperature"), seed=sampling.get("seed"),
        frequency_penalty=sampling.get("frequency_penalty"), presence_penalty=sampling.get("presence_penalty"), k=sampling.get("top_k"),
        p=sampling.get("top_p"), tool_choice={"none": "NONE", "required": "REQUIRED"}.get(choice), thinking=thinking, strict_tools=strict,
        request_options=without(additional_body_parameters=request.get("extra"), max_retries=0))
    return lambda: (client.chat_stream if stream else client.chat)(**fields)


ASK = {"openai": ask_openai, "anthropic": ask_anthropic, "bedrock": ask_bedrock, "gemini": ask_gemini, "cohere": ask_cohere,
       "mistral": ask_mistral, "groq": ask_groq}
