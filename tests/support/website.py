"""Web servers on loopback, in threads of this process: what the registries of the tests are made of."""
import http.server
import threading


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that go away are no failure


def listen(handler):
    """Serves by a class of http.server in a thread. Returns the server and its HOST:PORT."""
    server = Listener(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    return server, f"127.0.0.1:{server.server_address[1]}"


def end(server):
    server.shutdown()
    server.server_close()


def read_body(request):
    """The body of a request that http.server has read the head of."""
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    pieces = []
    while size := int(request.rfile.readline(), 16):
        pieces.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(pieces)


class Site:
    """A server whose answer() says what every request gets; until stop(). requests: (method, path) of all of them."""

    def __init__(self):
        self.requests = []
        self.lock = threading.RLock()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def respond(self):
                body = read_body(self)
                with site.lock:
                    site.requests.append((self.command, self.path))
                    status, headers, answer = site.answer(self, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)
                site.answered(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = respond

        self.server, self.host = listen(Handler)

    def stop(self):
        end(self.server)

    def answer(self, request, body):
        """(status, headers, bytes); request: .command, .path, .headers."""
        raise NotImplementedError

    def answered(self, request):
        """The answer was sent."""
