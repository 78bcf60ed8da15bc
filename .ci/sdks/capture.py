"""A provider on the loopback that keeps what it is sent and answers with an error that no SDK repeats."""
import http.server
import json
import threading
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass
class Sent:
    method: str
    target: str
    headers: dict
    raw: bytes

    @property
    def body(self):
        return json.loads(self.raw)

    @property
    def path(self):
        """Path and query, with the path decoded: `:` and `%3A` are one place."""
        parts = urlsplit(self.target)
        return unquote(parts.path) + (f"?{parts.query}" if parts.query else "")


def answer(handler, status, value):
    """Writes a JSON answer, in one packet: a second small one would wait for the acknowledgement of the first."""
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    handler.wfile.flush()


class Capture:
    def __init__(self):
        self.sent = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self):
                raw = self.read_chunks() if "chunked" in self.headers.get("transfer-encoding", "") else self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.sent.append(Sent("POST", self.path, {name.lower(): value for name, value in self.headers.items()}, raw))
                answer(self, 400, {"error": {"message": "captured", "code": 400, "type": "invalid_request_error"}, "message": "captured"})

            def read_chunks(self):
                raw = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    raw += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return raw

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, call):
        """What `call` sends."""
        before = len(self.sent)
        refusal = None
        try:
            answer = call()
            # Streams are opened by their first event.
            if hasattr(answer, "__next__"):
                next(answer)
        except Exception as error:
            refusal = error
        if len(self.sent) == before:
            raise refusal or RuntimeError("nothing was sent")
        return self.sent[-1]
