"""A web application as people write them: absolute URLs, a WebSocket, and a
counter in a file. Usage: webapp.py PORT

The page is complete, for a browser, only after the WebSocket has answered: an
image of it is held back until then.
"""
import base64
import hashlib
import http.server
import pathlib
import struct
import sys
import threading

PAGE = b"""<!doctype html><title>waiting</title><link rel="stylesheet" href="/style.css">
<p id="said">nothing</p><script src="/app.js"></script><img src="/held.svg">"""
SCRIPT = b"""const socket = new WebSocket(`ws://${location.host}/socket`);
socket.onopen = () => socket.send('ping');
socket.onmessage = (event) => {
  document.getElementById('said').textContent = event.data;
  document.title = getComputedStyle(document.body).color;
  socket.send('seen');
};"""
KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455

visits = pathlib.Path("visits")
seen = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/socket":
            return self.socket()
        if path == "/held.svg":
            seen.wait(20)
            return self.send("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>')
        if path == "/":
            seen.clear()
            visits.write_text(str(int(visits.read_text() if visits.exists() else 0) + 1))
        pages = {
            "/": ("text/html", PAGE),
            "/app.js": ("text/javascript", SCRIPT),
            "/style.css": ("text/css", b"body { color: rgb(1, 2, 3) }"),
        }
        if path not in pages:
            return self.send_error(404)
        self.send(*pages[path])

    def send(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def socket(self):
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + KEY).encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        while (text := self.receive()) is not None:
            if text == "seen":
                seen.set()
            else:
                answer = f"{text} answered, visit {visits.read_text()}".encode()
                self.wfile.write(struct.pack("!BB", 0x81, len(answer)) + answer)
        self.close_connection = True

    def receive(self):
        """The text of a short masked frame; None when the other side closes."""
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 0x0F == 8:
            return None
        mask = self.rfile.read(4)
        data = self.rfile.read(head[1] & 0x7F)
        return bytes(b ^ mask[i % 4] for i, b in enumerate(data)).decode()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
