"""A registry in this process whose token service grants scopes: who may do what, tags that go alone or not, pages."""
import base64
import json
import re
import urllib.parse

import website

ROUTE = re.compile(r"/v2/(?P<repo>.+)/(?P<kind>manifests|tags|blobs)/(?P<name>.+)$")


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class ScopeRegistry(website.Site):
    """rights: {repository: set of actions} of the one user; opaque: tokens do not tell; tags_go: DELETE of a tag works;
    page: names per page of the catalog; catalog: "ok", "none" (404), "hidden" (401 whatever is presented)."""

    def __init__(self, rights, opaque=False, tags_go=True, page=2, catalog="ok", login="user:secret"):
        self.rights, self.opaque, self.tags_go, self.page, self.catalog = rights, opaque, tags_go, page, catalog
        self.login, self.tokens, self.scopes = login, {}, []
        self.manifests = {}  # repository: {tag: bytes}
        super().__init__()

    def answer(self, request, body):
        status, headers, answer = self.route(request, urllib.parse.urlsplit(request.path), body)
        return status, {"Content-Type": "application/json", **headers}, answer

    # --- the token service ---

    def grant(self, scope):
        kind, name, actions = scope.split(":")
        asked = set(actions.split(","))
        if kind == "registry":
            return kind, name, asked if self.catalog != "hidden" else set()
        return kind, name, asked & self.rights.get(name, set())

    def token(self, request, query):
        expected = "Basic " + base64.b64encode(self.login.encode()).decode()
        if request.headers.get("Authorization", expected) != expected:
            return 401, {}, b'{"details":"incorrect username or password"}'
        anonymous = "Authorization" not in request.headers
        scopes = urllib.parse.parse_qs(query).get("scope", [])
        self.scopes += scopes
        granted = [(k, n, set() if anonymous and k == "repository" else a) for k, n, a in map(self.grant, scopes)]
        claims = {"access": [{"type": k, "name": n, "actions": sorted(a)} for k, n, a in granted]}
        text = f"opaque{len(self.tokens)}"
        if not self.opaque:
            text = ".".join([b64url(b"{}"), b64url(json.dumps(claims).encode()), b64url(text.encode())])
        self.tokens[text] = granted
        return 200, {}, json.dumps({"token": text, "expires_in": 300}).encode()

    def allowed(self, request, kind, name, action):
        granted = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "), [])
        return any(k == kind and n == name and action in a for k, n, a in granted)

    # --- the registry ---

    def refuse(self, status, code, message, headers=None):
        return status, headers or {}, json.dumps({"errors": [{"code": code, "message": message}]}).encode()

    def challenge(self, scope):
        value = f'Bearer realm="http://{self.host}/token",service="scopes",scope="{scope}"'
        return self.refuse(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": value})

    def route(self, request, url, body):
        if url.path == "/token":
            return self.token(request, url.query)
        if url.path == "/v2/_catalog":
            return self.list_catalog(request, url)
        match = ROUTE.match(url.path)
        if not match:
            return 200, {}, b"{}"
        action = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(request.command, "push")
        if match["kind"] == "blobs" and request.command == "DELETE":
            action = "push"
        if not self.allowed(request, "repository", match["repo"], action):
            return self.challenge(f"repository:{match['repo']}:{action}")
        return self.content(request, match, body)

    def list_catalog(self, request, url):
        if self.catalog == "none":
            return self.refuse(404, "UNSUPPORTED", "no catalog here")
        if not self.allowed(request, "registry", "catalog", "*"):
            return self.challenge("registry:catalog:*")
        query = urllib.parse.parse_qs(url.query)
        names = sorted(self.manifests)
        last = query.get("last", [""])[0]
        page = [name for name in names if name > last][:self.page]
        headers = {}
        if page and page[-1] != names[-1]:
            headers["Link"] = f'</v2/_catalog?last={urllib.parse.quote(page[-1], safe="")}&n={self.page}>; rel="next"'
        return 200, headers, json.dumps({"repositories": page}).encode()

    def content(self, request, match, body):
        tags, name = self.manifests.setdefault(match["repo"], {}), match["name"]
        if match["kind"] == "tags":
            return 200, {}, json.dumps({"name": match["repo"], "tags": sorted(tags)}).encode()
        if match["kind"] == "blobs":
            location = {"Location": f"/v2/{match['repo']}/blobs/uploads/1"} if request.command == "POST" else {}
            return 202 if request.command == "POST" else 204, location, b""
        if request.command == "PUT":
            tags[name] = body
            return 201, {}, b""
        if request.command == "DELETE" and ":" not in name and not self.tags_go:
            return self.refuse(405, "UNSUPPORTED", "tags do not go alone")
        if name not in tags:
            return self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if request.command == "DELETE":
            del tags[name]
            return 202, {}, b""
        return 200, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, tags[name]
