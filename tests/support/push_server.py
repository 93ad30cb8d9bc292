"""A registry that takes pushes, in this process, and does with them what a real one does not: scenarios by name.

A scenario is a function (request) -> True when it answered; it runs before the honest answer. The site keeps what was
pushed (blobs, manifests by repository and name), sessions, and a list of requests, each with the sizes of its body and
whether it carried a credential.
"""
import base64
import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

import website

UPLOADS = re.compile(r"/v2/(?P<repo>.+)/blobs/uploads/(?P<id>[^/]*)$")
ROUTE = re.compile(r"/v2/(?P<repo>.+)/(?P<kind>manifests|blobs)/(?P<name>[^/]+)$")
OTHER = re.compile(r"/storage/(?P<id>[^/]+)$")


class Site:
    def __init__(self):
        self.lock = threading.Lock()
        self.blobs, self.manifests, self.sessions = {}, {}, {}
        self.requests, self.counts, self.hosts = [], {}, {}
        self.scenario = None
        self.min_chunk = None
        self.locations = "relative"

    def count(self, *key):
        """How often this was asked before."""
        with self.lock:
            self.counts[key] = self.counts.get(key, -1) + 1
            return self.counts[key]

    def asked(self, method, part=""):
        return [r for r in self.requests if r["method"] == method and part in r["path"]]

    def tags(self):
        return sorted(name for (_, name) in self.manifests if ":" not in name)


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site = None
    which = "main"

    def log_message(self, *_):
        pass

    @property
    def route(self):
        return urllib.parse.urlsplit(self.path).path

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))

    @property
    def length(self):
        return int(self.headers.get("Content-Length", 0))

    def body(self, most=None):
        """Reads the request's body, or the first bytes of it."""
        want = self.length if most is None else min(most, self.length)
        data = b""
        while len(data) < want:
            piece = self.rfile.read(min(65536, want - len(data)))
            if not piece:
                break
            data += piece
        self.unread -= len(data)
        return data

    def reply(self, status, headers=None, body=b""):
        if self.unread:  # what is left of the body would be taken for the next request
            headers = {**(headers or {}), "Connection": "close"}
            self.close_connection = True
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    def refuse(self, status, code, message="no", **headers):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        return self.reply(status, {"Content-Type": "application/json", **headers}, body)

    def cut(self):
        """Closes the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True
        self.connection.close()
        return True

    # --- honest answers ---

    def location(self, repo, name):
        path = f"/v2/{repo}/blobs/uploads/{name}?state={name}-{len(self.site.sessions[name])}"
        if self.site.locations == "absolute":
            return f"http://{self.site.hosts['main']}{path}"
        if self.site.locations == "other":
            return f"http://{self.site.hosts['other']}/storage/{name}?sig=secret&repo={repo}"
        return path

    def new_session(self, repo):
        name = f"s{self.site.count('session')}"
        self.site.sessions[name] = b""
        headers = {"Location": self.location(repo, name), "Range": "0-0"}
        if self.site.min_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.site.min_chunk)
        return self.reply(202, headers)

    def finish(self, name, data):
        digest = self.query.get("digest", "")
        data = self.site.sessions.pop(name) + data
        if digest != "sha256:" + hashlib.sha256(data).hexdigest():
            return self.refuse(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.site.blobs[digest] = data
        return self.reply(201, {"Docker-Content-Digest": digest, "Location": "/v2/x/blobs/" + digest})

    def session(self, repo, name):
        if name not in self.site.sessions:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        have = len(self.site.sessions[name])
        if self.command == "GET":
            return self.reply(204, {"Location": self.location(repo, name), "Range": f"0-{max(have - 1, 0)}"})
        if self.command == "PUT":
            state = self.query.get("state", "")
            if self.length and state and int(state.split("-")[1]) != have:
                return self.refuse(416, "RANGE_INVALID")
            return self.finish(name, self.body())
        start = int(self.headers.get("Content-Range", f"{have}-").split("-")[0])
        if start != have:
            return self.refuse(416, "RANGE_INVALID")
        self.site.sessions[name] += self.body()
        return self.reply(202, {"Location": self.location(repo, name), "Range": f"0-{len(self.site.sessions[name]) - 1}"})

    def blob(self, digest):
        data = self.site.blobs.get(digest)
        return self.reply(200, {"Docker-Content-Digest": digest}, data) if data is not None else self.refuse(404, "BLOB_UNKNOWN")

    def manifest(self, repo, name):
        if self.command != "PUT":
            kind, data = self.site.manifests.get((repo, name), (None, None))
            if data is None:
                return self.refuse(404, "MANIFEST_UNKNOWN")
            return self.reply(200, {"Content-Type": kind, "Docker-Content-Digest": "sha256:" + hashlib.sha256(data).hexdigest()}, data)
        data = self.body()
        document = json.loads(data)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        needed = [d["digest"] for d in [*document.get("layers", []), *([document["config"]] if "config" in document else [])]]
        children = [d["digest"] for d in document.get("manifests", [])]
        missing = [d for d in needed if d not in self.site.blobs] + [d for d in children if (repo, d) not in self.site.manifests]
        if missing:
            return self.refuse(400, "MANIFEST_BLOB_UNKNOWN", f"unknown: {missing[0]}")
        for key in {name, digest}:
            self.site.manifests[repo, key] = (self.headers["Content-Type"], data)
        return self.reply(201, {"Docker-Content-Digest": digest})

    def honest(self):
        if self.route in ("/v2", "/v2/"):
            return self.reply(200, {}, b"{}")
        match = OTHER.match(self.route)
        if match:
            return self.session(self.query.get("repo", ""), match["id"])
        match = UPLOADS.match(self.route)
        if match and match["id"]:
            return self.session(match["repo"], match["id"])
        if match:
            return self.new_session(match["repo"])
        match = ROUTE.match(self.route)
        if not match:
            return self.refuse(404, "NAME_UNKNOWN")
        return self.blob(match["name"]) if match["kind"] == "blobs" else self.manifest(match["repo"], match["name"])

    def respond(self):
        self.unread = self.length
        self.site.requests.append({"method": self.command, "path": self.path, "which": self.which, "size": self.length,
                                   "range": self.headers.get("Content-Range"), "time": time.monotonic(),
                                   "authorization": self.headers.get("Authorization")})
        if not (self.site.scenario and self.site.scenario(self)):
            self.honest()

    def handle_expect_100(self):
        """Only when the scenario does not refuse the head of the request."""
        self.send_response_only(100)
        self.end_headers()
        return True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = respond


class PushServer:
    """Listens on two ports of loopback: two origins. stop() ends it."""

    def __init__(self, scenario=None):
        self.site = Site()
        self.site.scenario = scenario
        self.servers = []
        for which in ("main", "other"):
            handler = type("Request" + which, (Request,), {"site": self.site, "which": which})
            server, self.site.hosts[which] = website.listen(handler)
            self.servers.append(server)
        self.host = self.site.hosts["main"]

    def name(self, repository="app", tag="1"):
        return f"{self.host}/{repository}:{tag}"

    def stop(self):
        for server in self.servers:
            website.end(server)


def basic_login(request, user="user", password="secret"):
    """True when a scenario may go on; else it has answered 401."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return request.headers.get("Authorization") == wanted
