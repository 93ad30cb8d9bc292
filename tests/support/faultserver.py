#!/usr/bin/env python3
"""A registry that does what a real one does not: cuts, lies, stalls, limits, odd token flows.

    faultserver.py --port-file FILE --layout OCI_LAYOUT [--tls CERT KEY] [--scenario NAME ...] [--log FILE]

It serves /v2/<repo>/{manifests,blobs,tags/list} from an OCI image layout, whatever <repo> is; tags are the
org.opencontainers.image.ref.name annotations of index.json. A scenario is active when --scenario names it or when
it is the first component of the repository: cut/app has its blobs cut, plain/app is served honestly. It listens on
127.0.0.1 and writes its port to the port file when it is ready. --log gets one JSON line per request, and a line
with "failure" for what a client must never do (such as sending a credential to a presigned URL).

A scenario is a function that turns the honest reply into another one; see SCENARIOS at the end.
"""
import argparse
import base64
import dataclasses
import email.utils
import gzip
import http.server
import json
import os
import re
import select
import ssl
import threading
import time
import urllib.parse

import website

MANIFEST_TYPES = {  # by the field that tells, for manifests without a mediaType
    "manifests": "application/vnd.oci.image.index.v1+json",
    "layers": "application/vnd.oci.image.manifest.v1+json",
}
SERVICE = "fault-registry"
IDENTITY_TOKEN = "identity-secret"
DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
ROUTE = re.compile(r"/v2/(?P<repo>.+)/(?:(?P<kind>manifests|blobs)/(?P<name>[^/]+)|tags/list)$")
TOKEN_VALID = 2.0  # seconds; clients are told 1


@dataclasses.dataclass
class Reply:
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    length: object = None  # what Content-Length says; None: the truth; "chunked": nothing
    close_after: object = None  # bytes of body after which the connection is closed
    pace: float = 0  # seconds between two bytes
    endless: bool = False  # repeat the body until the client goes away
    kind: str = "other"  # blob, manifest, tags, other
    start: int = 0  # a blob's first byte here, and
    total: int = 0  # its whole size


def json_reply(value, status=200, **more):
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(value).encode(), **more)


def error_reply(status, code, message="refused by the fault server"):
    return json_reply({"errors": [{"code": code, "message": message}]}, status)


class Layout:
    """An OCI image layout, read afresh at every request."""

    def __init__(self, folder):
        self.folder = folder

    def index(self):
        with open(os.path.join(self.folder, "index.json"), "rb") as file:
            return json.load(file).get("manifests", [])

    def tags(self):
        names = [d.get("annotations", {}).get("org.opencontainers.image.ref.name") for d in self.index()]
        return sorted({n.rsplit(":", 1)[-1] for n in names if n})

    def digest_of(self, tag):
        for d in self.index():
            name = d.get("annotations", {}).get("org.opencontainers.image.ref.name")
            if name and name.rsplit(":", 1)[-1] == tag:
                return d["digest"]
        return None

    def blob(self, digest):
        if not DIGEST.match(digest):
            return None
        try:
            with open(os.path.join(self.folder, "blobs", *digest.split(":")), "rb") as file:
                return file.read()
        except OSError:
            return None


class Site:
    """What all listeners share: options, content, counters, tokens, the log."""

    def __init__(self, options):
        self.options = options
        self.layout = Layout(options.layout)
        self.lock = threading.Lock()
        self.counts = {}
        self.tokens = {}  # token: (scope, born)
        self.ports = {}  # main, other (same scheme), plain (http)
        self.log = open(options.log, "a", buffering=1) if options.log else None

    def count(self, *key):
        """How often this was asked before."""
        with self.lock:
            self.counts[key] = self.counts.get(key, -1) + 1
            return self.counts[key]

    def write_log(self, **line):
        if self.log:
            with self.lock:
                self.log.write(json.dumps(line) + "\n")

    def origin(self, which):
        scheme = "https" if self.options.tls and which != "plain" else "http"
        return f"{scheme}://127.0.0.1:{self.ports[which]}"

    def new_token(self, scope):
        with self.lock:
            token = f"token-{len(self.tokens)}"
            self.tokens[token] = (scope, time.monotonic())
            return token

    def token_good(self, token, scope):
        with self.lock:
            known, born = self.tokens.get(token, (None, 0))
        return known == scope and time.monotonic() - born < TOKEN_VALID


# --- scenarios: (request, honest reply) -> reply ---


def first_time(request, name):
    return request.site.count(name, request.route_path) == 0


def cut(request, reply):
    reply.close_after = request.site.options.cut_bytes
    return reply


def whole(request, reply):
    """Undoes a range."""
    if reply.status == 206:
        reply = request.blob_reply(request.blob_name, ranges=False)
    return reply


def cut_norange(request, reply):
    reply = whole(request, reply)
    return cut(request, reply) if first_time(request, "cut-norange") else reply


def wrong_range(request, reply):
    if reply.status != 206:
        return cut(request, reply)
    reply.body = reply.body[1:]
    reply.headers["Content-Range"] = f"bytes {reply.start + 1}-{reply.start + len(reply.body)}/{reply.total}"
    return reply


def wrong_total(request, reply):
    if reply.status != 206:
        return cut(request, reply)
    reply.headers["Content-Range"] = reply.headers["Content-Range"].rsplit("/", 1)[0] + f"/{reply.total + 1000}"
    return reply


def lie_length(request, reply):
    reply.body += b"surplus"
    return reply


def flip(request, reply):
    at = reply.total // 2 - reply.start
    if 0 <= at < len(reply.body):
        reply.body = reply.body[:at] + bytes([reply.body[at] ^ 1]) + reply.body[at + 1:]
    return reply


def short(request, reply):
    reply.close_after = max(0, reply.total // 2 - reply.start)
    return reply


def endless(request, reply):
    reply.endless, reply.length = True, "chunked"
    return reply


def html(request, reply):
    return Reply(200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html><body>Please log in to the <b>network</b></body></html>")


def truncated_json(request, reply):
    reply.headers.pop("Docker-Content-Digest", None)
    reply.body = reply.body[:len(reply.body) // 2]
    return reply


def too_many(name, status, as_date=False):
    def scenario(request, reply):
        options = request.site.options
        if request.site.count(name, request.repo) >= options.fail_count:
            return reply
        reply = error_reply(status, "TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE")
        wait = options.retry_after
        reply.headers["Retry-After"] = email.utils.formatdate(time.time() + wait, usegmt=True) if as_date else str(wait)
        return reply

    return scenario


def unauthorized(challenge):
    reply = error_reply(401, "UNAUTHORIZED")
    reply.headers["WWW-Authenticate"] = challenge
    return reply


def bearer(flow):
    def scenario(request, reply):
        scope = f"repository:{request.repo}:pull" if request.repo else ""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and request.site.token_good(token, scope):
            return reply
        challenge = f'Bearer realm="{request.site.origin("main")}/token/{flow}",service="{SERVICE}"'
        return unauthorized(f'{challenge},scope="{scope}"' if scope else challenge)

    return scenario


def basic(request, reply):
    return reply if request.basic_ok() else unauthorized('Basic realm="fault registry"')


def redirect(name, port="other"):
    def scenario(request, reply):
        url = f"{request.site.origin(port)}/presigned/{name}/{request.blob_name}"
        return Reply(307, {"Location": f"{url}?X-Signature=s3cret&n={time.monotonic_ns()}"})

    return scenario


def redirect_loop(request, reply):
    return Reply(307, {"Location": f'{request.site.origin("other")}/loop/0'})


def slow(request, reply):
    reply.pace = 0.3
    return reply


def hang(request, reply):
    request.wait_for_client()
    return None


def encoding(request, reply):
    reply = whole(request, reply)
    reply.body = gzip.compress(reply.body)
    reply.headers["Content-Encoding"] = "gzip"
    return reply


def bad_digest_header(request, reply):
    reply.headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
    return reply


def no_head(request, reply):
    return error_reply(405, "UNSUPPORTED") if request.command == "HEAD" else reply


def pages(request, reply):
    tags = json.loads(reply.body)["tags"]
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query))
    size, last = 2, query.get("last", "")
    at = tags.index(last) + 1 if last in tags else 0
    page = tags[max(0, at - 1):at + size]  # begins with the last tag of the page before: a duplicate
    reply = json_reply({"name": request.repo, "tags": page})
    if at + size < len(tags):
        target = f"{request.route_path}?n={size}&last={urllib.parse.quote(page[-1])}"
        if request.site.count("pages") % 2:
            target = request.site.origin("main") + target
        reply.headers["Link"] = f'<{target}>; rel="next"'
    return reply


def pages_endless(request, reply):
    reply.headers["Link"] = f'<{request.route_path}?n=2&last=again>; rel="next"'
    return reply


def big_headers(request, reply):
    reply.headers.update({f"X-Padding-{i}": "x" * 1000 for i in range(400)})
    return reply


def big_manifest(request, reply):
    manifest = json.loads(reply.body)
    manifest.setdefault("annotations", {})["padding"] = "x" * (5 << 20)
    reply.headers.pop("Docker-Content-Digest", None)
    reply.body = json.dumps(manifest).encode()
    return reply


def chunked(request, reply):
    reply.length = "chunked"
    return reply


def warning(request, reply):
    reply.headers.update({"Warning": '299 - "this repository will be removed"', "ratelimit-limit": "100;w=21600",
                          "ratelimit-remaining": "42;w=21600"})
    return reply


ALL = ("blob", "manifest", "tags", "other")
SCENARIOS = {  # name: (function, the kinds of request it is for)
    "cut": (cut, ("blob",)),
    "cut-norange": (cut_norange, ("blob",)),
    "wrong-range": (wrong_range, ("blob",)),
    "wrong-total": (wrong_total, ("blob",)),
    "lie-length": (lie_length, ("blob",)),
    "flip": (flip, ("blob",)),
    "short": (short, ("blob",)),
    "endless": (endless, ("blob",)),
    "html": (html, ("manifest",)),
    "truncated-json": (truncated_json, ("manifest",)),
    "429": (too_many("429", 429), ALL),
    "429-date": (too_many("429-date", 429, True), ALL),
    "503": (too_many("503", 503), ALL),
    "401-token": (bearer("401-token"), ALL),
    "identity": (bearer("identity"), ALL),
    "basic": (basic, ALL),
    "redirect": (redirect("redirect"), ("blob",)),
    "redirect-expired": (redirect("redirect-expired"), ("blob",)),
    "redirect-downgrade": (redirect("redirect-downgrade", "plain"), ("blob",)),
    "redirect-loop": (redirect_loop, ("blob",)),
    "slow": (slow, ("blob",)),
    "hang": (hang, ALL),
    "encoding": (encoding, ("blob",)),
    "bad-digest-header": (bad_digest_header, ("blob", "manifest")),
    "no-head": (no_head, ("blob", "manifest")),
    "pages": (pages, ("tags",)),
    "pages-endless": (pages_endless, ("tags",)),
    "big-headers": (big_headers, ("manifest",)),
    "big-manifest": (big_manifest, ("manifest",)),
    "chunked": (chunked, ("blob", "manifest", "tags")),
    "warning": (warning, ("manifest",)),
}


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site = None  # set by listen()
    which = None
    repo = ""
    blob_name = ""

    @property
    def route_path(self):
        return urllib.parse.urlsplit(self.path).path

    def log_message(self, *_):
        pass

    def basic_ok(self):
        expected = "Basic " + base64.b64encode(self.site.options.login.encode()).decode()
        return self.headers.get("Authorization") == expected

    def wait_for_client(self):
        """Until the client closes."""
        while True:
            select.select([self.connection], [], [], 60)
            try:
                if not self.connection.recv(1):
                    break
            except OSError:
                break
        self.close_connection = True

    # --- honest content ---

    def blob_reply(self, digest, ranges=True):
        data = self.site.layout.blob(digest)
        if data is None:
            return error_reply(404, "BLOB_UNKNOWN")
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        reply = Reply(200, headers, data, kind="blob", total=len(data))
        match = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", "")) if ranges else None
        if not match:
            return reply
        reply.start = int(match[1])
        end = min(int(match[2]) + 1 if match[2] else len(data), len(data))
        if reply.start >= end:
            reply = error_reply(416, "RANGE_INVALID")
            reply.headers["Content-Range"] = f"bytes */{len(data)}"
            return reply
        reply.status, reply.body = 206, data[reply.start:end]
        headers["Content-Range"] = f"bytes {reply.start}-{end - 1}/{len(data)}"
        return reply

    def manifest_reply(self, name):
        digest = name if DIGEST.match(name) else self.site.layout.digest_of(name)
        data = self.site.layout.blob(digest) if digest else None
        if data is None:
            return error_reply(404, "MANIFEST_UNKNOWN")
        manifest = json.loads(data)
        media_type = manifest.get("mediaType") or next((t for k, t in MANIFEST_TYPES.items() if k in manifest), "application/json")
        return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, data, kind="manifest")

    def token_reply(self, flow):
        """Token endpoint: GET with query (401-token) or POST of a refresh token (identity)."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = dict(urllib.parse.parse_qsl(raw if self.command == "POST" else urllib.parse.urlsplit(self.path).query))
        scope = form.get("scope", "")
        if form.get("service") != SERVICE or not re.match(r"repository:[^: ]+:pull$", scope):
            return error_reply(400, "UNSUPPORTED", "wrong service or scope")
        if flow == "identity":
            if self.command != "POST":
                return error_reply(405, "UNSUPPORTED")
            if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != IDENTITY_TOKEN:
                return error_reply(401, "UNAUTHORIZED")
        elif self.command == "POST":
            return error_reply(405, "UNSUPPORTED")
        elif self.headers.get("Authorization") and not self.basic_ok():
            return error_reply(401, "UNAUTHORIZED")
        name = "token" if self.site.count("token") % 2 and flow != "identity" else "access_token"
        return json_reply({name: self.site.new_token(scope), "expires_in": 1})

    def presigned_reply(self, scenario, digest):
        if self.headers.get("Authorization"):
            self.site.write_log(failure="credential sent to a presigned URL", path=self.route_path)
            return error_reply(400, "DENIED", "only one authentication mechanism allowed")
        if scenario == "redirect-downgrade" and self.site.options.tls:
            self.site.write_log(failure="followed a redirect from https to http", path=self.route_path)
        if scenario == "redirect-expired" and self.site.count("expired", digest) == 0:
            return Reply(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return self.blob_reply(digest)

    def honest_reply(self):
        path = self.route_path
        parts = path.strip("/").split("/")
        if path in ("/v2", "/v2/"):
            return json_reply({})
        if parts[0] == "token":
            return self.token_reply(parts[1] if len(parts) > 1 else "")
        if parts[0] == "presigned" and len(parts) == 3:
            return self.presigned_reply(parts[1], parts[2])
        if parts[0] == "loop" and len(parts) == 2 and parts[1].isdigit():
            return Reply(307, {"Location": f"/loop/{int(parts[1]) + 1}"})
        match = ROUTE.match(path)
        if not match:
            return error_reply(404, "NAME_UNKNOWN")
        self.repo = match["repo"]
        if match["kind"] == "blobs":
            self.blob_name = match["name"]
            return self.blob_reply(self.blob_name)
        if match["kind"] == "manifests":
            return self.manifest_reply(match["name"])
        return json_reply({"name": self.repo, "tags": self.site.layout.tags()}, kind="tags")

    # --- the work ---

    def respond(self):
        self.repo = self.blob_name = ""
        self.site.write_log(time=round(time.time(), 3), port=self.which, method=self.command, path=self.path,
                            authorization="Authorization" in self.headers, range=self.headers.get("Range"))
        reply = self.honest_reply()
        is_api = self.route_path.startswith("/v2")
        for name in [*self.site.options.scenario, self.repo.split("/")[0]] if is_api else []:
            function, kinds = SCENARIOS.get(name, (None, ()))
            if reply is not None and reply.kind in kinds:
                reply = function(self, reply)
        if reply is not None:
            self.send(reply)

    def send(self, reply):
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.length == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(reply)

    def send_body(self, reply):
        is_chunked = reply.length == "chunked"
        body = reply.body if reply.close_after is None else reply.body[:reply.close_after]
        step = 1 if reply.pace else 65536
        while True:
            for at in range(0, len(body), step):
                piece = body[at:at + step]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
                if reply.pace:
                    time.sleep(reply.pace)
            if not reply.endless or not body:
                break
        if reply.close_after is not None and len(body) < len(reply.body):
            self.close_connection = True
        elif is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = respond


def listen(site, which, tls):
    handler = type("Request" + which, (Request,), {"site": site, "which": which})
    server = website.Listener(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        # The handshake happens in the connection's own thread, at its first read.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.ports[which] = server.server_address[1]
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--layout", required=True)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--scenario", nargs="+", action="extend", default=[], choices=sorted(SCENARIOS), metavar="NAME")
    parser.add_argument("--log")
    parser.add_argument("--cut-bytes", type=int, default=65536, help="where 'cut' cuts (default %(default)s)")
    parser.add_argument("--fail-count", type=int, default=2, help="how many 429 or 503 answers (default %(default)s)")
    parser.add_argument("--retry-after", type=int, default=1, help="seconds (default %(default)s)")
    parser.add_argument("--login", default="user:secret", help="NAME:PASSWORD of 'basic' (default %(default)s)")
    options = parser.parse_args()
    site = Site(options)
    servers = [listen(site, "main", options.tls), listen(site, "other", options.tls), listen(site, "plain", None)]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    temporary = options.port_file + ".tmp"
    with open(temporary, "w") as file:
        file.write(f'{site.ports["main"]}\n')
    os.rename(temporary, options.port_file)
    try:
        servers[0].serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
