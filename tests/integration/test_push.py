"""Push and copy against Debian's docker-registry, with skopeo as judge."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
from program import run_tool

SHARED = {}
BIG = 24 << 20


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-push-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    site = registry.Registry(os.path.join(folder, "registry"))
    unittest.addModuleCleanup(site.stop)
    other = registry.Registry(os.path.join(folder, "other"))
    unittest.addModuleCleanup(other.stop)
    layout = images.Layout(os.path.join(folder, "layout"))
    here = [images.Layer([images.entry("here", images.noise(BIG, 7))])]
    there = [images.Layer([images.entry("there", images.noise(50000, 8))])]
    layout.multi({images.ARCHITECTURE: here, images.OTHER_ARCHITECTURE: there}, tag="multi")
    one = layout.image(here, "one")
    SHARED.update(folder=folder, site=site, other=other, layout=layout, here=one["digest"])


class PushCase(program.Case):
    def setUp(self):
        super().setUp()
        self.site, self.other = SHARED["site"], SHARED["other"]
        self.repository = "t/" + "-".join(self.id().split(".")[-2:]).replace("_", "-").lower()

    def load(self, tag):
        self.ok("load", "-q", "-i", SHARED["layout"].folder, "--name", tag)
        return self.names()[0]

    def inspect(self, name, *options):
        return json.loads(run_tool("skopeo", "inspect", "--raw", "--tls-verify=false", *options, f"docker://{name}"))

    def digest(self, name):
        raw = run_tool("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}")
        return images.digest_of(raw)

    def assert_pulls(self, name, architecture=images.ARCHITECTURE):
        """skopeo gets every byte of it and finds the digests right."""
        folder = self.path("check-" + str(len(os.listdir(self.dir))))
        run_tool("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--override-arch", architecture,
                 f"docker://{name}", f"dir:{folder}")

    def index_digest(self):
        return next(e["digest"] for e in SHARED["layout"].entries if e["annotations"][images.REF_NAME] == "multi")


class Push(PushCase):
    def test_image(self):
        image, name = self.load("one"), self.site.name(self.repository)
        out = self.ok("push", image, name)
        self.assertEqual(self.digest(name), SHARED["here"])
        self.assertRegex(out, rf"^latest: digest: {SHARED['here']} size: \d+\n$")
        self.assert_pulls(name)

    def test_again_costs_a_request_per_object(self):
        image, name = self.load("one"), self.site.name(self.repository)
        self.ok("push", "-q", image, name)
        before = len(self.site.requests())
        self.ok("push", "-q", image, name)
        again = self.site.requests()[before:]
        self.assertEqual(sorted(m for m, _, _ in again), ["HEAD", "HEAD", "PUT"])

    def test_whole_index(self):
        image, name = self.load("multi"), self.site.name(self.repository)
        self.ok("push", "-q", image, name)
        self.assertEqual(self.digest(name), self.index_digest())
        self.assert_pulls(name)
        self.assert_pulls(name, images.OTHER_ARCHITECTURE)
        puts = [p for m, p, _ in self.site.requests() if m == "PUT" and f"/{self.repository}/manifests/" in p]
        self.assertTrue(puts[-1].endswith("/latest"), puts)
        self.assertEqual(len(puts), 3)

    def test_one_platform_of_an_index(self):
        image, name = self.load("multi"), self.site.name(self.repository)
        self.ok("push", "-q", "--platform", "linux/" + images.ARCHITECTURE, image, name)
        self.assertEqual(self.digest(name), SHARED["here"])

    def test_incomplete_index_is_not_half_pushed(self):
        image, name = self.load("multi"), self.site.name(self.repository)
        there = next(e for e in json.loads(SHARED["layout"].read(self.index_digest()))["manifests"]
                     if e["digest"] != SHARED["here"])
        os.unlink(os.path.join(self.root, "blobs", *there["digest"].split(":")))
        self.fails("push", "-q", image, name, naming=[there["digest"], "not in the store"])
        self.assertNotIn(self.repository, str(self.site.requests()))

    def test_pulled_and_pushed_bytes_are_the_same(self):
        self.site.push(SHARED["layout"].folder, "multi", self.repository + "/src", options=["--all"])
        source, name = self.site.name(self.repository + "/src", "multi"), self.other.name(self.repository)
        self.ok("pull", "-q", "-a", source)
        self.ok("push", "-q", source, name)
        self.assertEqual(self.digest(name), self.index_digest())

    def test_mounts_what_another_repository_has(self):
        image = self.load("one")
        first = self.site.name(self.repository + "/a")
        self.ok("push", "-q", image, first)
        self.ok("tag", image, first)
        before = len(self.site.requests())
        result = self.imgstore("push", image, self.site.name(self.repository + "/b"))
        self.assertRegex(result.err, f"Mounted from {self.repository}/a")
        asked = self.site.requests()[before:]
        self.assertFalse([1 for m, p, _ in asked if m in ("PUT", "PATCH") and "/manifests/" not in p], asked)

    def test_chunks(self):
        image, name = self.load("one"), self.other.name(self.repository)
        self.ok("push", "-q", "--chunk-size", 5000000, image, name)
        patches = [p for m, p, _ in self.other.requests() if m == "PATCH" and self.repository in p]
        self.assertEqual(len(patches), 6)
        self.assert_pulls(name)

    def test_dry_run(self):
        image, name = self.load("one"), self.other.name(self.repository)
        out = self.ok("push", "--dry-run", "--format", "json", image, name)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line["action"] for line in lines], ["to send"] * 3)
        self.assertEqual(sum(line["size"] for line in lines) > BIG, True)

    def test_progress_json(self):
        image, name = self.load("one"), self.other.name(self.repository)
        result = self.imgstore("push", "--progress", "json", "-q", image, name)
        self.assertEqual(result.code, 0, str(result))
        result = self.imgstore("push", "--progress", "json", image, self.other.name(self.repository + "/again"))
        events = [json.loads(line)["event"] for line in result.err.splitlines()]
        self.assertEqual(events[-1], "committed")
        self.assertIn("preparing", events)

    def test_bad_names(self):
        image = self.load("one")
        self.fails("push", "nothing/like:this", naming="not in the store")
        self.fails("push", image, "UPPER/case", naming="UPPER")
        self.fails("push", image, self.site.name(self.repository) + "@sha256:" + "0" * 64, naming="another manifest")

    def test_nobody_listens(self):
        image = self.load("one")
        self.fails("push", "-q", "--retries", 0, image, f"127.0.0.1:{registry.free_port()}/a:1", naming="127.0.0.1")

    def test_killed_in_the_middle_goes_on_later(self):
        image, name = self.load("one"), self.other.name(self.repository)
        process = self.start("push", image, name)
        process.kill()
        process.wait()
        self.ok("push", "-q", image, name)
        self.assert_pulls(name)


class Login(PushCase):
    def test_htpasswd_and_tls(self):
        authority = registry.Authority(self.path("ca"))
        # user:secret with bcrypt, cost 4
        line = run_tool("htpasswd", "-Bbn", "-C", "4", "user", "secret") if program.lack_of(["htpasswd"]) is None else None
        if line is None:
            self.skipTest("not installed: htpasswd")
        htpasswd = self.write("htpasswd", line.strip() + b"\n")
        site = registry.Registry(self.path("private"), tls=authority.sign("server"), htpasswd=htpasswd)
        self.addCleanup(site.stop)
        image = self.load("one")
        self.fails("push", "--ca", authority.cert, image, site.name("a/b"), naming="user name and password")
        self.ok("login", "--ca", authority.cert, "-u", "user", "--password-stdin", site.host, data=b"secret")
        self.ok("push", "-q", "--ca", authority.cert, image, site.name("a/b"))
        self.ok("copy", "-q", "--ca", authority.cert, f"docker://{site.name('a/b')}", f"docker://{site.name('c/d')}")
        self.assertEqual(self.ok("copy", "-q", "--ca", authority.cert, f"docker://{site.name('c/d')}",
                                 f"oci:{self.path('out')}:1"), "1\n")


class Copy(PushCase):
    def seed(self):
        name = self.site.name(self.repository, "src")
        run_tool("skopeo", "--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false",
                 f"oci:{SHARED['layout'].folder}:multi", f"docker://{name}")
        return name

    def test_registry_to_registry(self):
        source, name = self.seed(), self.other.name(self.repository)
        self.ok("copy", "-q", f"docker://{source}", f"docker://{name}")
        self.assertEqual(self.digest(name), SHARED["here"])
        self.assert_pulls(name)
        self.ok("copy", "-q", "-a", f"docker://{source}", f"docker://{name}")
        self.assertEqual(self.digest(name), self.index_digest())
        self.assert_pulls(name, images.OTHER_ARCHITECTURE)
        self.assertFalse(os.path.exists(self.root), "a store was made")

    def test_within_a_registry_layers_are_mounted(self):
        source = self.seed()
        before = len(self.site.requests())
        self.ok("copy", "-q", "-a", f"docker://{source}", f"docker://{self.site.name(self.repository + '/copy')}")
        asked = self.site.requests()[before:]
        self.assertFalse([p for m, p, _ in asked if m == "GET" and "/blobs/" in p], asked)
        self.assertFalse([p for m, p, _ in asked if m == "PUT" and "/blobs/" in p], asked)

    def test_by_digest_and_platform(self):
        source, name = self.seed(), self.other.name(self.repository, "p")
        self.ok("copy", "-q", "--platform", f"linux/{images.OTHER_ARCHITECTURE}", f"docker://{source}", f"docker://{name}")
        self.assert_pulls(name, images.OTHER_ARCHITECTURE)
        pinned = source.rsplit(":", 1)[0] + "@" + SHARED["here"]
        self.ok("copy", "-q", f"docker://{pinned}", f"docker://{self.other.name(self.repository, 'd')}")
        self.assertEqual(self.digest(self.other.name(self.repository, "d")), SHARED["here"])
        self.fails("copy", "--platform", "plan9/mips", f"docker://{source}", f"docker://{name}", naming="plan9/mips")

    def test_layout_and_back(self):
        source, layout = self.seed(), self.path("layout")
        self.ok("copy", "-q", "-a", f"docker://{source}", f"oci:{layout}:v1")
        raw = run_tool("skopeo", "inspect", "--raw", f"oci:{layout}:v1")
        self.assertEqual(images.digest_of(raw), self.index_digest())
        name = self.other.name(self.repository)
        self.ok("copy", "-q", "-a", f"oci:{layout}:v1", f"docker://{name}")
        self.assertEqual(self.digest(name), self.index_digest())

    def test_layout_of_skopeo(self):
        layout = self.path("layout")
        run_tool("skopeo", "--insecure-policy", "copy", "-q", f"oci:{SHARED['layout'].folder}:one", f"oci:{layout}:7")
        for source in (f"oci:{layout}:7", f"oci:{layout}"):
            name = self.other.name(self.repository, f"n{len(source)}")
            self.ok("copy", "-q", source, f"docker://{name}")
            self.assertEqual(self.digest(name), SHARED["here"])
        self.ok("copy", "-q", f"oci:{layout}:7", "store:team/app:7")
        self.assertEqual(self.names(), ["team/app:7"])
        self.assert_sound()
        self.fails("copy", f"oci:{layout}:8", "store:x", naming="8")
        self.fails("copy", f"oci:{self.path('nothing')}", "store:x", naming="nothing")

    def test_store_to_layout(self):
        image = self.load("multi")
        layout = self.path("layout")
        self.ok("copy", "-q", "-a", f"store:{image}", f"oci:{layout}:1")
        self.ok("copy", "-q", f"store:{image}", f"oci:{layout}:2")
        self.assertEqual(images.digest_of(run_tool("skopeo", "inspect", "--raw", f"oci:{layout}:1")), self.index_digest())
        self.assertEqual(images.digest_of(run_tool("skopeo", "inspect", "--raw", f"oci:{layout}:2")), SHARED["here"])
        self.fails("copy", f"oci:{layout}", "store:x", naming="2 images")

    def test_archives(self):
        source = self.seed()
        temporary = self.path("passing")
        os.mkdir(temporary)
        env = {"TMPDIR": temporary}
        for kind in ("oci-archive", "docker-archive"):
            archive = f"{kind}:{self.path(kind)}.tar"
            self.ok("copy", "-q", f"docker://{source}", archive + ":app:1" if kind[0] == "d" else archive + ":v1", env=env)
            run_tool("skopeo", "--insecure-policy", "inspect", archive)
            name = self.other.name(self.repository, kind)
            self.ok("copy", "-q", archive, f"docker://{name}", env=env)
            self.assertEqual(self.digest(name), SHARED["here"])
            self.assertEqual(os.listdir(temporary), [])
        self.fails("copy", f"oci-archive:{self.path('none')}.tar", "store:x", naming="none", env=env)
        self.assertEqual(os.listdir(temporary), [])

    def test_plan(self):
        source = self.seed()
        for to in (f"docker://{self.other.name(self.repository)}", f"oci:{self.path('plan')}:1"):
            out = self.ok("copy", "--dry-run", "-a", "--format", "json", f"docker://{source}", to)
            self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"to send"})
            self.ok("copy", "-q", "-a", f"docker://{source}", to)
            out = self.ok("copy", "--dry-run", "-a", "--format", "json", f"docker://{source}", to)
            self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"present"})

    def test_locations(self):
        for bad in ("alpine", "http://x/y", "oci-archive:", "docker:/x", "docker-archive:"):
            self.assertEqual(self.imgstore("copy", bad, "store:x").code, 2, bad)

    def test_memory_is_bounded(self):
        if program.SANITIZED or program.lack_of(["/usr/bin/time"]):
            self.skipTest("memory is not measured here")
        source = self.seed()
        result = self.imgstore("copy", "-q", f"docker://{source}", f"docker://{self.other.name(self.repository)}",
                               before=["/usr/bin/time", "-f", "%M kB"])
        self.assertEqual(result.code, 0, str(result))
        self.assertLess(int(result.err.split()[-2]), 32 << 10)

    def test_source_that_lies(self):
        site = registry.StaticRegistry()
        self.addCleanup(site.stop)
        layout = images.simple(self.path("lies"), 1, size=400000)
        site.serve_layout(layout)
        layer = max(layout.digests(), key=lambda d: len(layout.read(d)))
        data = bytearray(layout.read(layer))
        data[-5] ^= 1
        site.answers[f"blobs/{layer}"] = ("application/octet-stream", bytes(data))
        name = self.other.name(self.repository)
        self.fails("copy", "--retries", 1, f"docker://{site.host}/a/b:latest", f"docker://{name}", naming=layer)
        self.assertIn(("HEAD", f"/v2/{self.repository}/blobs/{layer}", 404), self.other.requests())
        self.assertNotIn(f"/{self.repository}/manifests/", str(self.other.requests()))


class Sync(PushCase):
    def seed(self, *tags):
        for tag in tags:
            self.site.push(SHARED["layout"].folder, "multi" if tag.startswith("m") else "one", self.repository, tag,
                           ["--all"])
        return f"docker://{self.site.host}/{self.repository}"

    def tags(self, repository):
        return sorted(self.ok("tags", f"{self.other.host}/{repository}").split())

    def test_tags_by_pattern(self):
        source = self.seed("3.1", "3.2", "4.0", "m1")
        target = f"docker://{self.other.host}/{self.repository}"
        result = self.imgstore("sync", "--tags", "3.*", source, target)
        self.assertEqual(result.code, 0, str(result))
        self.assertRegex(result.err, "2 tags copied, 0 were the same")
        self.assertEqual(self.tags(self.repository), ["3.1", "3.2"])
        before = len(self.other.requests())
        result = self.imgstore("sync", "-a", source, target)
        self.assertRegex(result.err, "2 tags copied, 2 were the same")
        self.assertEqual(self.tags(self.repository), ["3.1", "3.2", "4.0", "m1"])
        self.assertEqual(self.digest(self.other.name(self.repository, "m1")), self.index_digest())
        same = [r for r in self.other.requests()[before:] if r[1].endswith("/manifests/3.1")]
        self.assertEqual([m for m, _, _ in same], ["HEAD"])

    def test_to_store_and_layout(self):
        source = self.seed("1", "2")
        self.ok("sync", "-q", source, "store:copies/app")
        self.assertEqual(self.names(), ["copies/app:1", "copies/app:2"])
        self.ok("sync", "-q", source, "store:")
        self.assertIn(f"{self.site.host}/{self.repository}:1", self.names())
        self.assert_sound()
        self.ok("sync", "-q", source, f"oci:{self.path('backup')}")
        for tag in ("1", "2"):
            raw = run_tool("skopeo", "inspect", "--raw", f"oci:{self.path('backup')}:{tag}")
            self.assertEqual(images.digest_of(raw), SHARED["here"])

    def test_refusals(self):
        source = self.seed("1")
        self.assertEqual(self.imgstore("sync", source + ":1", "store:").code, 2)
        self.assertEqual(self.imgstore("sync", "store:x", "store:y").code, 2)
        self.fails("sync", f"docker://{self.site.host}/no/such", "store:", naming="no/such")

    def test_one_tag_that_fails(self):
        source = self.seed("1", "2", "3")
        tag = f"data/docker/registry/v2/repositories/{self.repository}/_manifests/tags/2"
        os.unlink(os.path.join(self.site.folder, tag, "current/link"))
        target = f"docker://{self.other.host}/{self.repository}"
        self.fails("sync", source, target, naming=":2")
        result = self.imgstore("sync", "--keep-going", source, target)
        self.assertEqual(result.code, 1, str(result))
        self.assertRegex(result.err, "(?m)^2: failed: .*:2")
        self.assertRegex(result.err, "tags copied, . were the same, some failed")
        self.assertRegex(result.err, "1 of 3 tags were not copied, the first: .*:2")
        self.assertEqual(self.tags(self.repository), ["1", "3"])
        lines = self.imgstore("sync", "-k", "--format", "json", source, target).out.splitlines()
        self.assertIn(("failed", "2"), [(json.loads(line)["action"], json.loads(line)["name"]) for line in lines])

    def test_plan(self):
        out = self.ok("sync", "--dry-run", "--format", "json", self.seed("1"), f"docker://{self.other.host}/{self.repository}")
        self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"to send"})


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo"])
