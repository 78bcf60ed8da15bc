"""Golden bodies against the vendors' YAML specifications: Mistral's, Groq's and Cohere's, whole and streamed.

OpenAI's, Anthropic's, AWS's and Google's are JSON, and `tests/provider/specs.rs` holds bodies against those.
"""
import json
import os
import pathlib
import sys

import jsonschema
import yaml

from golden import GOLDEN

SHARED = pathlib.Path(os.environ["OMNI_SHARED"], "contracts")
OLD = "the specification is of August 2026 and knows `high` and `none`; the SDK of November knows every effort"
# File, path, and the golden files that are known to break it, with the reason.
SPECS = {
    "mistral": ("mistral/openapi.yaml", "/v1/chat/completions", {"effort_max": OLD, "effort_medium": OLD, "effort_minimal": OLD}),
    "groq": ("groq/openapi.yaml", "/openai/v1/chat/completions", {}),
    "cohere": ("cohere/cohere-openapi.yaml", "/v2/chat", {}),
}


def modern(schema):
    """OpenAPI 3.0's `nullable` as JSON Schema says it, and OpenAPI's own words left out."""
    if isinstance(schema, list):
        return [modern(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: modern(it) for name, it in schema.items() if name not in ("nullable", "example", "discriminator")}
    kinds = schema.get("discriminator", {})
    if "mapping" in kinds and "oneOf" in found:
        named = lambda kind: {"properties": {kinds["propertyName"]: {"const": kind}}, "required": [kinds["propertyName"]]}
        found["anyOf"] = [{"allOf": [{"$ref": it}, named(kind)]} for kind, it in kinds["mapping"].items()]
        del found["oneOf"]
    if schema.get("nullable") is True:
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
        if "type" in found:
            found["type"] = [found["type"], "null"]
        else:
            found = {"anyOf": [found, {"type": "null"}]}
    # 3.0 says whether a bound is exclusive.
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if isinstance(found.get(exclusive), bool):
            if found.pop(exclusive):
                found[exclusive] = found.pop(bound)
    return found


def main():
    wrong = []
    print(f"{'provider':<10} {'bodies':>6} {'valid':>6} {'allowed':>8}")
    for provider, (file, path, allowed) in SPECS.items():
        spec = yaml.load((SHARED / file).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        schema = spec["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        validator = jsonschema.Draft202012Validator(modern({**schema, "components": spec["components"]}))
        counts, used = [0, 0, 0], set()
        for golden in sorted(GOLDEN.glob("*.json")):
            body = json.loads(golden.read_text())["sent"][provider].get("body")
            for streamed in (False, True) if body else ():
                errors = list(validator.iter_errors({**body, "stream": True} if streamed else body))
                counts[0] += 1
                counts[1] += not errors
                if errors and golden.stem in allowed:
                    used.add(golden.stem)
                    counts[2] += 1
                elif errors:
                    said = "; ".join(f"/{'/'.join(map(str, it.absolute_path))}: {it.message}" for it in errors)
                    wrong.append(f"{provider} {golden.stem}{' streamed' if streamed else ''}: {said[:600]}")
        print(f"{provider:<10} {counts[0]:>6} {counts[1]:>6} {counts[2]:>8}")
        wrong += [f"{provider}: `{name}` is allowed and needs not be" for name in allowed if name not in used]
    if wrong:
        sys.exit("\n".join(wrong))


main()
