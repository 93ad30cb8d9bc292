"""Every scenario of the fault server: the pull succeeds where it can, else it fails soon, clearly, and leaves nothing."""
import base64
import json
import os
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry

BOUND = 20  # seconds for a pull that fails
LAYERS, SIZE = 2, 150000  # cut by the server after 64 KiB
NOT_HERE = {"401-token", "identity", "basic"}  # in test_auth.py
SHARED = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-faults-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED["layout"] = images.simple(os.path.join(folder, "layout"), LAYERS, size=SIZE)
    SHARED["small"] = images.simple(os.path.join(folder, "small"), 1, size=10)
    for tag in ("a", "b", "c", "d"):
        SHARED["small"].add(SHARED["small"].entries[0], tag)


class FaultCase(program.Case):
    def setUp(self):
        super().setUp()
        self.before = images.simple(self.path("before"), 1, tag="kept", seed=77)
        self.ok("load", "-q", "-i", self.before.folder)
        self.stored = self.blobs()
        self.server = None

    def serve(self, *options, layout="layout"):
        self.server = registry.FaultServer(self.path("server"), SHARED[layout].folder, *options)
        self.addCleanup(self.server.stop)
        return self.server

    def pull(self, name, *options):
        result = self.imgstore("pull", "--retries", 2, "--timeout", 2, *options, name)
        self.assertEqual(self.server.failures(), [])
        return result

    def succeeds(self, scenario, *options, layout="layout", serve=()):
        server = self.serve(*serve, layout=layout)
        result = self.pull(server.name(scenario), *options)
        self.assertEqual((result.code, result.out), (0, server.name(scenario) + "\n"), str(result))
        self.assertIn(server.name(scenario), self.names())
        self.assert_sound()
        self.assert_clean()
        return result

    def gives_up(self, scenario, *naming, layout="layout", serve=(), options=(), bound=BOUND):
        server = self.serve(*serve, layout=layout)
        began = time.monotonic()
        line = self.fails("pull", "-q", "--retries", 2, "--timeout", 2, *options, server.name(scenario), naming=naming)
        self.assertLess(time.monotonic() - began, bound)
        self.assertEqual(server.failures(), [])
        self.assertEqual(self.names(), ["before:kept"])
        self.assert_sound()
        self.assert_clean()
        self.ok("prune")
        self.assertEqual(self.blobs(), self.stored)
        return line

    def resumed_at(self):
        return [line["range"] for line in self.server.blob_gets() if line["range"]]


class Blobs(FaultCase):
    def test_cut(self):
        self.succeeds("cut", "-q")
        self.assertIn("bytes=65536-", "".join(self.resumed_at()))

    def test_cut_norange(self):
        self.succeeds("cut-norange", "-q")

    def test_wrong_range(self):
        self.gives_up("wrong-range", "sha256:")

    def test_wrong_total(self):
        self.gives_up("wrong-total", "sha256:")

    def test_lie_length(self):
        self.gives_up("lie-length", "sha256:")

    def test_flip(self):
        self.gives_up("flip", "sha256:")

    def test_short(self):
        self.gives_up("short", "sha256:")

    def test_endless(self):
        self.gives_up("endless", "sha256:")

    def test_slow(self):
        self.gives_up("slow")

    def test_hang(self):
        self.gives_up("hang", "127.0.0.1")

    def test_encoding(self):
        self.gives_up("encoding", "sha256:", "Content-Encoding")

    def test_chunked(self):
        self.succeeds("chunked", "-q")

    def test_chunked_and_flipped(self):
        self.gives_up("plain", "sha256:", serve=["--scenario", "chunked", "flip"])

    def test_bad_digest_header(self):
        self.gives_up("bad-digest-header", "sha256:")

    def test_cut_while_unpacking(self):
        self.succeeds("cut", "-q", "--unpack", self.path("tree"))
        self.assertEqual(len(os.listdir(self.path("tree", "data"))), LAYERS)

    def test_flip_while_unpacking(self):
        self.gives_up("flip", "sha256:", options=["--unpack", self.path("tree")])
        self.assertFalse(os.path.exists(self.path("tree")))

    def test_same_without_workers(self):
        self.succeeds("cut", "-q", "--workers", "0")


class Manifests(FaultCase):
    def test_html(self):
        self.gives_up("html", "app:latest", "web page.*<!DOCTYPE html>")

    def test_truncated_json(self):
        self.gives_up("truncated-json", "app:latest|sha256:")

    def test_big_headers(self):
        self.gives_up("big-headers")

    def test_big_manifest(self):
        self.gives_up("big-manifest", "app:latest|sha256:")

    def test_no_head(self):
        self.succeeds("no-head", "-q")

    def test_warning(self):
        result = self.succeeds("warning")
        self.assertIn("this repository will be removed", result.err)

    def test_rate_limit_is_an_event(self):
        events = [json.loads(line) for line in self.succeeds("warning", "--progress", "json").err.splitlines()]
        self.assertIn((42, 100), [(e.get("done"), e.get("total")) for e in events if e["event"] == "rate_limit"])


class Limits(FaultCase):
    def waits(self, scenario):
        began = time.monotonic()
        result = self.succeeds(scenario)
        self.assertGreater(time.monotonic() - began, 0.9)
        self.assertIn("Retrying", result.err)

    def test_429(self):
        self.waits("429")

    def test_429_date(self):
        self.succeeds("429-date")

    def test_503(self):
        self.waits("503")

    def test_429_for_ever(self):
        self.gives_up("429", serve=["--fail-count", 1000, "--retry-after", 0])

    def test_429_by_event(self):
        events = [json.loads(line) for line in self.succeeds("503", "--progress", "json").err.splitlines()]
        retries = [e for e in events if e["event"] == "retry"]
        self.assertTrue(retries)
        self.assertTrue(all(e["delay"] >= 0 and e["text"] for e in retries), retries)


class Redirects(FaultCase):
    def tls(self):
        authority = registry.Authority(self.path("ca"))
        pair = authority.sign("server")
        return ["--tls", *pair], ["--ca", authority.cert]

    def test_redirect(self):
        self.succeeds("redirect", "-q")
        self.assertTrue([line for line in self.server.lines() if line["path"].startswith("/presigned")])

    def test_redirect_expired(self):
        self.succeeds("redirect-expired", "-q")

    def test_redirect_loop(self):
        self.gives_up("redirect-loop", "redirect")
        for_one = [line for line in self.server.lines() if line["path"].startswith("/loop")]
        self.assertLessEqual(len(for_one), 11 * 3 * (LAYERS + 1))

    @unittest.skipIf(program.lack_of(["openssl"]), "needs openssl")
    def test_redirect_downgrade(self):
        serve, options = self.tls()
        self.gives_up("redirect-downgrade", "http", serve=serve, options=options)

    @unittest.skipIf(program.lack_of(["openssl"]), "needs openssl")
    def test_redirect_over_tls_without_credentials(self):
        serve, options = self.tls()
        server = self.serve(*serve, "--scenario", "basic", "redirect")
        os.mkdir(os.path.join(self.home, ".docker"))
        auth = base64.b64encode(b"user:secret").decode()
        self.write("home/.docker/config.json", json.dumps({"auths": {server.host: {"auth": auth}}}))
        self.assertEqual(self.pull(server.name("plain"), *options).code, 0)
        self.assertEqual(server.failures(), [])


class Tags(FaultCase):
    def tags(self, scenario, *more):
        server = self.serve(*more, layout="small")
        return self.imgstore("tags", "--retries", 2, "--timeout", 2, f"{server.host}/{scenario}/app")

    def test_pages(self):
        self.assertEqual(self.tags("pages").out.split(), ["a", "b", "c", "d", "latest"])

    def test_pages_endless(self):
        result = self.tags("pages-endless")
        self.assertIn(result.code, (0, 1), str(result))
        self.assertLess(len(result.out), 100000)
        self.assertLess(len([line for line in self.server.lines()]), 20000)

    def test_429(self):
        self.assertEqual(self.tags("429").code, 0)


class Mirrors(FaultCase):
    def falls_through(self, scenario):
        broken = registry.FaultServer(self.path("broken"), SHARED["layout"].folder, "--scenario", scenario)
        self.addCleanup(broken.stop)
        server = self.serve()
        result = self.pull(server.name("plain"), "--mirror", f"http://{broken.host}", "--mirror",
                           f"http://127.0.0.1:{registry.free_port()}")
        self.assertEqual(result.code, 0, str(result))
        self.assertTrue(server.lines())
        self.assert_sound()

    def test_mirror_with_html(self):
        self.falls_through("html")

    def test_mirror_that_cuts(self):
        self.falls_through("short")

    def test_mirror_that_lies(self):
        self.falls_through("flip")

    def test_mirror_without_permission(self):
        self.falls_through("basic")

    def test_good_mirror_is_used(self):
        mirror = registry.FaultServer(self.path("mirror"), SHARED["layout"].folder)
        self.addCleanup(mirror.stop)
        server = self.serve()
        self.assertEqual(self.pull(server.name("plain"), "--mirror", f"http://{mirror.host}").code, 0)
        self.assertTrue(mirror.blob_gets())
        self.assertEqual(server.blob_gets(), [])


class Coverage(unittest.TestCase):
    def test_every_scenario_has_a_test(self):
        import faultserver
        tested = {name[5:].replace("_", "-") for case in (Blobs, Manifests, Limits, Redirects, Tags) for name in dir(case)}
        self.assertEqual(set(faultserver.SCENARIOS) - tested - NOT_HERE, set())


if __name__ == "__main__":
    program.main()
