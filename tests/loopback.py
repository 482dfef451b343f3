"""A server on loopback that speaks as an OpenAI-compatible one does; tests script its replies."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Lists one model; a test writes ``do_POST`` by :meth:`body` and :meth:`send`."""

    model = "m"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def send(self, value, status=200, headers=(), length=None):
        """Send a value as JSON, or bytes as they are; say another length than theirs."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.begin(len(data) if length is None else length, status, headers)
        self.wfile.write(data)

    def begin(self, length, status=200, headers=()):
        """Send all that comes before a body of some length."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for header in headers:
            self.send_header(*header)
        self.end_headers()

    def trickle(self, seconds):
        """Send a blank now and then and never an answer."""
        self.begin(1000)
        try:
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(seconds)
        except OSError:
            self.close_connection = True


class Loopback:
    """A server in a thread of its own while the ``with`` lasts."""

    def __init__(self, handler):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.handle_error = lambda *_: None  # a client that hangs up is no news
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        serve = self.http.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
