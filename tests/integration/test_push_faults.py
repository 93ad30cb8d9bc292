"""Pushes to a registry that misbehaves: the push gets through where it can, else it fails with the registry's words, and
nothing is there by the name."""
import base64
import json
import os
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import push_server

SHARED = {}
SIZE = 300000


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-push-faults-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED["layout"] = images.simple(os.path.join(folder, "layout"), 2, tag="1", size=SIZE)


class PushCase(program.Case):
    def serve(self, scenario=None, **more):
        self.ok("load", "-q", "-i", SHARED["layout"].folder)
        self.image = self.names()[0]
        self.server = push_server.PushServer(scenario)
        self.addCleanup(self.server.stop)
        self.site = self.server.site
        for name, value in more.items():
            setattr(self.site, name, value)
        return self.server

    def push(self, *options, retries=3, **more):
        return self.imgstore("push", "--retries", retries, "--timeout", 3, *options, self.image, self.server.name(), **more)

    def gets_through(self, *options, **more):
        result = self.push(*options, **more)
        self.assertEqual(result.code, 0, str(result))
        _, data = self.site.manifests["app", "1"]
        self.assertEqual(images.digest_of(data), SHARED["layout"].entries[0]["digest"])
        for digest in SHARED["layout"].digests():
            if digest in self.site.blobs:
                self.assertEqual(images.digest_of(self.site.blobs[digest]), digest)
        return result

    def gives_up(self, naming, *options, **more):
        result = self.push(*options, **more)
        self.assertEqual(result.code, 1, str(result))
        self.assertRegex(result.err, naming)
        self.assertEqual(self.site.tags(), [], "half-published")
        return result

    def bodies(self, *methods):
        return [r["size"] for r in self.site.requests if r["method"] in methods and r["size"] and "/manifests/" not in r["path"]]


class Honest(PushCase):
    def test_whole_blobs_by_default(self):
        self.serve()
        self.gets_through()
        self.assertEqual(self.site.asked("PATCH"), [])
        methods = [r["method"] for r in self.site.requests if "/manifests/" in r["path"]]
        self.assertEqual(methods, ["PUT"])

    def test_again_is_one_request_per_object(self):
        self.serve()
        self.gets_through()
        before = len(self.site.requests)
        self.gets_through()
        again = self.site.requests[before:]
        self.assertEqual(sorted(r["method"] for r in again), ["HEAD", "HEAD", "HEAD", "PUT"])

    def test_chunks_on_request(self):
        self.serve()
        self.gets_through("--chunk-size", 100000)
        self.assertLessEqual(max(self.bodies("PATCH")), 100000)
        self.assertGreater(len(self.site.asked("PATCH")), 4)

    def test_least_chunk_is_honoured(self):
        self.serve(min_chunk=150000)
        self.gets_through("--chunk-size", 1000)
        sizes = self.bodies("PATCH")
        self.assertIn(150000, sizes)
        self.assertTrue(all(s >= 150000 for s in sizes[:1]))

    def test_absolute_locations(self):
        self.serve(locations="absolute")
        self.gets_through()

    def test_dry_run_sends_nothing(self):
        self.serve()
        result = self.imgstore("push", "--dry-run", self.image, self.server.name())
        self.assertEqual(result.code, 0, str(result))
        self.assertEqual({r["method"] for r in self.site.requests}, {"HEAD"})
        self.assertRegex(result.out, r"to send: 4 objects")
        self.gets_through()
        result = self.imgstore("push", "--dry-run", "--format", "json", self.image, self.server.name())
        lines = [json.loads(line) for line in result.out.splitlines()]
        self.assertEqual({line["action"] for line in lines}, {"present"})


class Origins(PushCase):
    def test_credentials_stay_at_home(self):
        def login(request):
            if request.which == "other":
                return False
            return not push_server.basic_login(request) and request.refuse(
                401, "UNAUTHORIZED", **{"WWW-Authenticate": 'Basic realm="tests"'})

        self.serve(login, locations="other")
        os.mkdir(os.path.join(self.home, ".docker"))
        auth = base64.b64encode(b"user:secret").decode()
        with open(os.path.join(self.home, ".docker", "config.json"), "w", encoding="ascii") as file:
            json.dump({"auths": {self.server.host: {"auth": auth}}}, file)
        self.gets_through()
        away = [r for r in self.site.requests if r["which"] == "other"]
        self.assertTrue(away)
        self.assertEqual({r["authorization"] for r in away}, {None})
        self.assertTrue(all("digest=" in r["path"] and "sig=secret" in r["path"] for r in away if r["method"] == "PUT"))

    def test_link_local_and_private_locations_are_refused(self):
        def lead_away(request):
            return request.command == "POST" and request.reply(202, {"Location": "http://169.254.169.254/latest/"})

        self.serve(lead_away)
        self.gives_up("169.254.169.254.*link-local")


class Limits(PushCase):
    def test_413_leads_to_chunks(self):
        def limit(request):
            return request.command in ("PUT", "PATCH") and "/manifests/" not in request.path and \
                request.length > 100000 and request.refuse(413, "SIZE_INVALID", "too large for the proxy")

        self.serve(limit)
        self.gets_through()
        self.assertTrue([s for s in self.bodies("PATCH") if s <= 100000])

    def test_413_for_everything(self):
        self.serve(lambda r: r.command in ("PUT", "PATCH") and r.length > 0 and "/manifests/" not in r.path and
                   r.refuse(413, "SIZE_INVALID", "too large for the proxy"))
        self.gives_up("too large for the proxy")

    def test_refusals_keep_their_words(self):
        for status, code, words in ((403, "DENIED", "quota exceeded: 10 GiB"), (404, "NAME_UNKNOWN", "no such project"),
                                    (507, "UNKNOWN", "the disk is full"), (400, "NAME_INVALID", "invalid name")):
            with self.subTest(status):
                self.serve(lambda r: r.command == "POST" and r.refuse(status, code, words))
                self.gives_up(words, retries=0)

    def test_immutable_tag(self):
        for status, code in ((409, "CONFLICT"), (400, "TAG_IMMUTABLE"), (412, "PRECONDITION")):
            with self.subTest(status):
                self.serve(lambda r: r.command == "PUT" and r.route.endswith("/manifests/1") and
                           r.refuse(status, code, "the tag 1 is immutable"))
                self.gives_up("the tag 1 is immutable")

    def test_read_only_registry(self):
        self.serve(lambda r: r.command in ("POST", "PUT") and r.refuse(405, "UNSUPPORTED", "this is a mirror"))
        self.gives_up("this is a mirror")


class Interrupted(PushCase):
    def cut_at(self, count, keep):
        """Cuts the first upload of more than count bytes after so many; keep: what came stays in the session."""

        def scenario(request):
            if request.command != "PUT" or request.length <= count or "/manifests/" in request.path:
                return False
            if self.site.count("cut"):
                return False
            name = request.route.rsplit("/", 1)[1]
            data = request.body(count)
            if keep:
                self.site.sessions[name] += data
            else:
                self.site.sessions.pop(name, None)
            return request.cut()

        return scenario

    def test_at_many_bytes(self):
        for count in (0, 1, 2, 511, 65536, SIZE - 1):
            for keep in (True, False):
                with self.subTest(count=count, keep=keep):
                    self.serve(self.cut_at(count, keep))
                    self.gets_through("--quiet")
                    if keep and count == 65536:
                        self.assertTrue([r for r in self.site.requests if r["range"] and r["range"].startswith("65536-")])

    def test_answer_to_the_last_put_is_lost(self):
        def scenario(request):
            if request.command != "PUT" or "/manifests/" in request.path or self.site.count("lost"):
                return False
            name = request.route.rsplit("/", 1)[1]
            data = self.site.sessions.pop(name) + request.body()
            self.site.blobs[images.digest_of(data)] = data
            return request.cut()

        self.serve(scenario)
        self.gets_through()
        self.assertEqual(len(self.site.asked("POST")), 3)

    def test_expired_sessions(self):
        def scenario(request):
            if request.command == "PUT" and "/manifests/" not in request.path and not self.site.count("expired"):
                self.site.sessions.clear()
            return False

        self.serve(scenario)
        self.gets_through()

    def test_wrong_state_is_recovered(self):
        def scenario(request):
            if request.command == "PATCH" and not self.site.count("416"):
                return request.refuse(416, "RANGE_INVALID")
            return False

        self.serve(scenario)
        self.gets_through("--chunk-size", 100000)
        self.assertTrue(self.site.asked("GET", "uploads"))

    def test_always_cut(self):
        self.serve(lambda r: r.command == "PUT" and r.length > 1000 and "/manifests/" not in r.path and (r.body(1000), r.cut())[1])
        began = time.monotonic()
        self.gives_up("127.0.0.1")
        self.assertLess(time.monotonic() - began, 60)


class HeldBack(PushCase):
    def busy(self, status, where):
        def scenario(request):
            if not where(request) or self.site.count("busy"):
                return False
            self.site.busy_at = time.monotonic()
            return request.refuse(status, "TOOMANYREQUESTS", "later", **{"Retry-After": "1"})

        return scenario

    def test_nothing_is_asked_meanwhile(self):
        for status in (429, 503):
            for where in (lambda r: r.command == "POST", lambda r: r.command == "PUT" and "/manifests/" not in r.path,
                          lambda r: r.command == "PUT" and "/manifests/" in r.path):
                with self.subTest(status):
                    self.serve(self.busy(status, where))
                    self.gets_through()
                    early = [r for r in self.site.requests
                             if self.site.busy_at + 0.1 < r["time"] < self.site.busy_at + 0.9]
                    self.assertEqual(early, [])

    def test_for_ever(self):
        self.serve(lambda r: r.command == "POST" and r.refuse(429, "TOOMANYREQUESTS", "never", **{"Retry-After": "0"}))
        self.gives_up("never", retries=2)


class Tokens(PushCase):
    def token_flow(self, refuse_mounts=False):
        """Tokens that are good for a few requests only."""
        uses = {}

        def scenario(request):
            if request.route == "/token":
                query = urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query)
                scopes = [value for key, value in query if key == "scope"]
                self.site.scopes.append(" ".join(scopes))
                token = f"t{self.site.count('token')}"
                uses[token] = 12
                request.reply(200, {"Content-Type": "application/json"}, json.dumps({"token": token, "expires_in": 300}).encode())
                return True
            token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
            if uses.get(token, 0) > 0:
                uses[token] -= 1
                return False
            challenge = f'Bearer realm="http://{self.server.host}/token",service="tests",scope="repository:app:pull,push"'
            return request.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})

        return scenario

    def test_401_in_the_middle(self):
        self.serve(self.token_flow(), scopes=[])
        self.gets_through("--chunk-size", 20000)
        self.assertGreater(len(self.site.scopes), 2)
        self.assertTrue(all("repository:app:" in s and "push" in s for s in self.site.scopes), self.site.scopes)

    def test_mount_asks_for_both_repositories(self):
        self.serve(self.token_flow(), scopes=[])
        self.gets_through("--mount-from", "base/image")
        self.assertTrue([s for s in self.site.scopes if "repository:base/image:pull" in s], self.site.scopes)


class Mounts(PushCase):
    def test_202_goes_on_at_its_location(self):
        self.serve()
        self.gets_through("--mount-from", "base")
        self.assertEqual(len(self.site.asked("POST")), 3)
        self.assertTrue(all("mount=" in r["path"] and "from=base" in r["path"] for r in self.site.asked("POST")))

    def test_refused_mounts_are_dropped(self):
        for status in (400, 403, 404, 405):
            with self.subTest(status):
                self.serve(lambda r: "mount=" in r.path and r.refuse(status, "DENIED"))
                self.gets_through("--mount-from", "base")

    def test_mounted(self):
        layout = SHARED["layout"]

        def mount(request):
            if "mount=" not in request.path:
                return False
            digest = request.query["mount"]
            self.site.blobs[digest] = layout.read(digest)
            return request.reply(201, {"Location": "/v2/app/blobs/" + digest})

        self.serve(mount)
        result = self.gets_through("--mount-from", "base/image", "--progress", "plain")
        self.assertRegex(result.err, "Mounted from base/image")
        self.assertEqual(self.bodies("PUT", "PATCH"), [])

    def test_names_of_the_store_tell_places(self):
        self.serve()
        self.ok("tag", self.image, self.server.name("known/place"))
        self.gets_through()
        self.assertTrue(all("from=known%2Fplace" in r["path"] or "from=known/place" in r["path"]
                            for r in self.site.asked("POST")))


class Lies(PushCase):
    def test_wrong_digest_in_the_answer(self):
        other = "sha256:" + "0" * 64
        for part in ("/blobs/", "/manifests/"):
            with self.subTest(part):
                self.serve(lambda r: r.command == "PUT" and part in r.path and (r.body(), r.reply(
                    201, {"Docker-Content-Digest": other}))[1])
                self.gives_up(other)

    def test_more_than_was_sent(self):
        self.serve(lambda r: r.command == "PATCH" and (r.body(), r.reply(202, {"Range": "0-99999999"}))[1])
        self.gives_up("says that it has 100000000 bytes", "--chunk-size", 100000)

    def test_no_location(self):
        self.serve(lambda r: r.command == "POST" and r.reply(202, {}))
        self.gives_up("upload location is missing")

    def test_a_web_page(self):
        self.serve(lambda r: r.reply(200, {"Content-Type": "text/html"}, b"<html>please log in</html>"))
        self.gives_up("unexpected HTTP status 200")

    def test_damaged_blob_in_the_store(self):
        self.serve()
        digest = max(SHARED["layout"].digests(), key=lambda d: len(SHARED["layout"].read(d)))
        path = os.path.join(self.root, "blobs", *digest.split(":"))
        os.chmod(path, 0o644)
        with open(path, "r+b") as file:
            file.seek(1000)
            file.write(b"damage")
        self.gives_up(f"{digest}.*(hashes to|DIGEST_INVALID)")


if __name__ == "__main__":
    program.main()
