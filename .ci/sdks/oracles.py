"""The running service and the official SDKs against the same loopback: addresses, headers, streamed bodies, signatures, tokens.

Bedrock bodies go through botocore's own validator and serializer, signatures are made again by botocore's signer, and the claims of a
Google service account are compared with google-auth's at a token endpoint that checks signatures.
"""
import base64
import datetime
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import botocore.auth
import botocore.session
import botocore.validate
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.transport.requests import Request as GoogleRequest
from google.oauth2 import service_account

from calls import ASK
from capture import Capture, answer
from golden import GOLDEN, camel, differences, models, shown

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
QUESTION = "How tall is the tower?"
# Claude needs a bound, so each call has this one.
MOST = 4096
# Headers that mean something to a provider; the rest names the client.
HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "content-type")
failed = []


def check(name, *problems):
    problems = [problem for problem in problems if problem]
    failed.extend(problems)
    print(f"{'FAILED' if problems else 'ok    '}  {name}", *problems, sep="\n        " if problems else "")


class TokenEndpoint:
    """Hands out a token for a claim whose signature holds."""

    def __init__(self, public_key):
        self.claims = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            wbufsize = -1

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                head, claims, signature = form["assertion"].split(".")
                decode = lambda it: base64.urlsafe_b64decode(it + "=" * (-len(it) % 4))
                public_key.verify(decode(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
                outer.claims.append({"grant_type": form["grant_type"], "content-type": self.headers["content-type"].split(";")[0],
                                     "head": json.loads(decode(head)), "claims": json.loads(decode(claims))})
                answer(self, 200, {"access_token": "a-token", "expires_in": 3599, "token_type": "Bearer"})

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/token"
        threading.Thread(target=server.serve_forever, daemon=True).start()


def start(capture, key_file):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    url = capture.url
    environment = {
        "PATH": os.environ["PATH"], "OMNI_ADDR": address, "LOG_LEVEL": "error", "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": f"{url}/v1", "ANTHROPIC_API_KEY": "test-key", "BEDROCK_BASE_URL": url, "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION, "GEMINI_BASE_URL": f"{url}/v1beta", "GEMINI_API_KEY": "test-key",
        "COHERE_BASE_URL": f"{url}/v2", "COHERE_API_KEY": "test-key", "MISTRAL_BASE_URL": f"{url}/v1", "MISTRAL_API_KEY": "test-key",
        "GROQ_BASE_URL": f"{url}/openai/v1", "GROQ_API_KEY": "test-key", "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
        "VERTEXAI_BASE_URL": f"{url}/v1beta1/projects/p/locations/global"}
    service = subprocess.Popen([os.environ["OMNI_LLM"], "serve"], env=environment, cwd=key_file.parent)
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{address}/healthz").read()
            return service, address
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the service did not start")


def ours(capture, address, provider, model, stream):
    body = {"model": f"{provider}/{model}", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": MOST, "stream": stream}
    request = urllib.request.Request(f"http://{address}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    return capture.of(lambda: urllib.request.urlopen(request))


def same_call(capture, address, provider, model):
    request = {"messages": [{"role": "user", "parts": [{"text": QUESTION}]}], "sampling": {"max_tokens": MOST}}
    for stream in (False, True):
        mine = ours(capture, address, provider, model, stream)
        theirs = capture.of(ASK[provider](capture.url, request, model, stream))
        body = camel(theirs.body) if provider == "gemini" else theirs.body
        for field, meaningless in (("stream", False), ("generationConfig", {})):
            if field not in mine.body and body.get(field) == meaningless:
                del body[field]
        problems = [f"{at}: ours {shown(one)}, the SDK's {shown(other)}" for at, one, other in differences(mine.body, body)]
        # Groq's SDK asks for no usage, and its API takes OpenAI's word for it; padding that OpenAI streams unasked is of no use.
        meant = {"groq": "/stream_options", "openai": "/stream_options/include_obfuscation"}
        problems = [it for it in problems if not it.startswith(meant.get(provider, " "))]
        if (mine.method, mine.target) != (theirs.method, theirs.target) and provider != "bedrock" or mine.path != theirs.path:
            problems.append(f"address: ours {mine.target}, the SDK's {theirs.target}")
        for name in HEADERS:
            # SDK 2 speaks API version 2026-10-21 with a bearer key; specification, recordings and our dialect are of 2023-06-01.
            if provider == "anthropic" and name != "content-type":
                continue
            one, other = (it.headers.get(name, "") for it in (mine, theirs))
            if provider == "bedrock" and name == "authorization":
                one, other = (it.split("SignedHeaders")[0].split("/")[0] for it in (one, other))
            if one.split(";")[0].lower() != other.split(";")[0].lower():
                problems.append(f"{name}: ours {one!r}, the SDK's {other!r}")
        if provider == "anthropic" and (mine.headers.get("x-api-key"), mine.headers.get("anthropic-version")) != ("test-key", "2023-06-01"):
            problems.append(f"key and version: {mine.headers}")
        check(f"{provider}: {'streamed' if stream else 'whole'}, as its SDK", *problems)


def same_signature(sent, name):
    signed = sent.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    at = datetime.datetime.strptime(sent.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    headers = {header: sent.headers[header] for header in signed if header not in ("host", "x-amz-date")}
    request = AWSRequest("POST", f"http://{sent.headers['host']}{sent.target}", headers=headers, data=sent.raw)
    botocore.auth.get_current_datetime = lambda *_, **__: at
    botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "bedrock", REGION).add_auth(request)
    theirs = request.headers["Authorization"]
    check(f"bedrock: {name}: botocore signs it with the same signature",
          sent.headers["authorization"].replace(", ", ",") != theirs.replace(", ", ",") and f"ours {sent.headers['authorization']}, botocore's {theirs}")


def from_wire(shape, value):
    """A body as botocore's callers have it: bytes where the wire has base64."""
    if shape.type_name == "structure" and not shape.metadata.get("document") and isinstance(value, dict):
        return {name: from_wire(shape.members[name], inner) if name in shape.members else inner for name, inner in value.items()}
    if shape.type_name == "list":
        return [from_wire(shape.member, inner) for inner in value]
    if shape.type_name == "map":
        return {name: from_wire(shape.value, inner) for name, inner in value.items()}
    return base64.b64decode(value) if shape.type_name == "blob" else value


def botocore_takes_every_golden_body():
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    serializer = botocore.session.get_session()
    validator, problems, count = botocore.validate.ParamValidator(), [], 0
    from botocore.serialize import create_serializer
    writer = create_serializer(service.metadata["protocol"], include_validation=False)
    for path in sorted(GOLDEN.glob("*.json")):
        golden = json.loads(path.read_text())
        sent = golden["sent"]["bedrock"]
        # A field of the caller's own that AWS does not know.
        if "body" not in sent or path.stem == "extra":
            continue
        count += 1
        for operation in ("Converse", "ConverseStream"):
            model = service.operation_model(operation)
            parameters = {"modelId": golden.get("models", {}).get("bedrock", "m"), **from_wire(model.input_shape, sent["body"])}
            report = validator.validate(parameters, model.input_shape)
            if report.has_errors():
                problems.append(f"{path.stem} {operation}: {report.generate_report()}")
                continue
            written = json.loads(writer.serialize_to_request(parameters, model)["body"])
            problems += [f"{path.stem} {operation} {at}: ours {shown(one)}, botocore's {shown(other)}" for at, one, other in differences(sent["body"], written)]
    check(f"bedrock: botocore accepts {count} golden bodies, twice, and writes the same", *problems)


def same_claims(endpoint, key_file):
    credentials = service_account.Credentials.from_service_account_file(key_file, scopes=["https://www.googleapis.com/auth/cloud-platform"])
    credentials.refresh(GoogleRequest())
    if len(endpoint.claims) != 2:
        return check("google: two claims with good signatures", f"{len(endpoint.claims)} came")
    mine, theirs = endpoint.claims
    lives = [it["claims"].pop("exp") - it["claims"]["iat"] for it in (mine, theirs)]
    apart = abs(mine["claims"].pop("iat") - theirs["claims"].pop("iat"))
    problems = [f"{at}: ours {shown(one)}, google-auth's {shown(other)}" for at, one, other in differences(mine, theirs)]
    check("google: the claims of a service account, as google-auth's, signed right", *problems, lives[0] != lives[1] and f"lives: {lives}",
          apart > 120 and f"{apart} s apart")


def main():
    with tempfile.TemporaryDirectory() as folder:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        endpoint = TokenEndpoint(key.public_key())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        key_file = pathlib.Path(folder, "key.json")
        key_file.write_text(json.dumps({"type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": pem,
                                        "client_email": "omni@p.iam.gserviceaccount.com", "token_uri": endpoint.url}))
        capture = Capture()
        service, address = start(capture, key_file)
        try:
            for provider, model in models().items():
                same_call(capture, address, provider, model)
            for model, name in ((models()["bedrock"], "a model"), (PROFILE, "a profile's ARN")):
                for stream in (False, True):
                    mine = ours(capture, address, "bedrock", model, stream)
                    same_signature(mine, f"{name}, {'streamed' if stream else 'whole'}")
            mine = ours(capture, address, "vertexai", "gemini-2.5-flash", False)
            path = "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-2.5-flash:generateContent"
            check("google: the token goes to Vertex AI", mine.headers.get("authorization") != "Bearer a-token" and str(mine.headers), mine.target != path and mine.target)
            same_claims(endpoint, key_file)
        finally:
            service.kill()
            service.wait()
    botocore_takes_every_golden_body()
    if failed:
        sys.exit(f"{len(failed)} problems")


if __name__ == "__main__":
    main()
