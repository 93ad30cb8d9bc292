"""Pulling from Debian's docker-registry, and what the store's commands then say."""
import glob
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
from images import ARCHITECTURE, OTHER_ARCHITECTURE, Layer, Layout, entry, noise

SHA = r"sha256:[0-9a-f]{64}"


class Shared:
    """One registry with one of each kind of image for all tests of the module."""

    def __init__(self, folder):
        self.registry = registry.Registry(os.path.join(folder, "registry"))
        self.layout = Layout(os.path.join(folder, "layout"))
        self.make_images()
        self.push_images(folder)

    def make_images(self):
        layout = self.layout
        base = Layer([entry("etc/"), entry("etc/base", noise(4000))])
        empty = Layer([])
        self.one = layout.image([base, Layer([entry("one", b"one")])], "one")
        self.two = layout.image([base, Layer([entry("two", b"two")])], "two")
        self.multi = layout.multi({ARCHITECTURE: [base], OTHER_ARCHITECTURE: [Layer([entry("other", b"o")])]}, "multi")
        layout.image([Layer([entry("z", noise(3000))], "zstd"), Layer([entry("p", b"plain")], "")], "mixed")
        layout.image([Layer([entry(f"file{i}", b"%d" % i)]) for i in range(130)], "many")
        layout.image([empty, base, empty], "empty")

    def push_images(self, folder):
        busybox, plain = os.path.join(folder, "busybox"), os.path.join(folder, "busybox.dir")
        for tag in ("one", "two", "multi", "mixed", "many", "empty"):
            self.registry.push(self.layout.folder, tag, "lab/app", options=["--all", "--preserve-digests"])
        self.registry.push(self.layout.folder, "one", "lab/default", to="latest", options=["--preserve-digests"])
        self.registry.push(self.layout.folder, "one", "lab/docker", options=["--format", "v2s2"])
        images.busybox(busybox)
        self.registry.push(busybox, "latest", "library/busybox")
        program.run_tool("skopeo", "--insecure-policy", "copy", "-q", "--dest-decompress", f"oci:{busybox}:latest", f"dir:{plain}")
        # Straight to the registry skopeo would find the gzip layers again and take those.
        program.run_tool("skopeo", "--insecure-policy", "copy", "-q", "--dest-compress-format", "zstd", "--dest-compress",
                         f"dir:{plain}", f"oci:{busybox}.zstd:latest")
        self.registry.push(f"{busybox}.zstd", "latest", "library/zstd", options=["--preserve-digests"])


SHARED = None


def setUpModule():
    global SHARED
    folder = tempfile.mkdtemp(prefix="imgstore-pull-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED = Shared(folder)
    unittest.addModuleCleanup(SHARED.registry.stop)


class RegistryCase(program.Case):
    def setUp(self):
        super().setUp()
        self.registry, self.layout = SHARED.registry, SHARED.layout
        self.one, self.two, self.multi = SHARED.one, SHARED.two, SHARED.multi
        self.known = 0

    def name(self, tag, repository="lab/app"):
        return self.registry.name(repository, tag)

    def requests(self):
        """What was asked since the last call."""
        everything = self.registry.requests()
        known, self.known = self.known, len(everything)
        return everything[known:]

    def pull(self, *arguments, **more):
        result = self.imgstore("pull", *arguments, **more)
        self.assertEqual(result.code, 0, str(result))
        return result


class Names(RegistryCase):
    def test_by_tag(self):
        result = self.pull(self.name("one"))
        self.assertEqual(result.out, self.name("one") + "\n")
        self.assertIn(f'Digest: {self.one["digest"]}', result.err)
        self.assertIn(f'Status: Downloaded newer image for {self.name("one")}', result.err)
        self.assertEqual(self.names(), [self.name("one")])
        self.assert_sound()
        self.assert_clean()

    def test_by_digest(self):
        name = f'{self.registry.host}/lab/app@{self.one["digest"]}'
        self.assertEqual(self.pull(name).out, name + "\n")
        inspected = json.loads(self.ok("inspect", name))[0]
        self.assertEqual(inspected["RepoTags"], [])
        self.assertEqual(inspected["RepoDigests"], [name])

    def test_digest_decides_over_tag(self):
        name = f'{self.name("two")}@{self.one["digest"]}'
        self.pull(name)
        self.assertEqual(self.ok("inspect", "--raw", "manifest", self.one["digest"]).encode(),
                         self.layout.read(self.one["digest"]))
        self.assertNotIn(self.two["digest"][7:], self.blobs())

    def test_default_tag(self):
        result = self.pull(f"{self.registry.host}/lab/default")
        self.assertEqual(result.out, self.name("latest", "lab/default") + "\n")
        self.assertIn("Using default tag: latest", result.err)

    def test_localhost(self):
        self.pull(f"localhost:{self.registry.port}/lab/app:one")
        self.assertEqual(self.names(), [f"localhost:{self.registry.port}/lab/app:one"])

    def test_what_is_not_there(self):
        missing = "sha256:" + "1" * 64
        self.fails("pull", "-q", self.name("nosuch"), naming=re.escape(self.name("nosuch")))
        self.fails("pull", "-q", f"{self.registry.host}/no/such", naming="no/such:latest")
        self.fails("pull", "-q", f"{self.registry.host}/lab/app@{missing}", naming=missing)
        self.assertEqual(self.names(), [])
        self.assert_clean()

    def test_names_that_are_none(self):
        for name in ("Upper/case", "a" * 64, "x" * 256 + "/y", "name:", "name@sha256:12", "name@md5:" + "1" * 32,
                     "name@sha256:" + "A" * 64, "a//b", "a/../b", "/a", "a b", "", "name:tag:tag", "-a", "a\x1b[1m"):
            with self.subTest(name):
                result = self.imgstore("pull", "-q", "--", name)
                self.assertIn(result.code, (1, 2), str(result))
                self.assertEqual(len(result.err.splitlines()), 1 if result.code == 1 else 2, str(result))
                self.assertNotIn("\x1b", result.err)

    def test_exit_status_of_usage(self):
        for line in (["pull"], ["pull", "a", "b"], ["pull", "--frob", "a"], ["frob"], [], ["pull", "--progress", "x", "a"],
                     ["--workers", "65", "ls"], ["pull", "--retries", "-1", "a"], ["inspect", "--raw", "x", "a"]):
            self.assertEqual(self.imgstore(*line).code, 2, line)
        self.assertEqual(self.imgstore("--help").code, 0)
        self.assertEqual(self.imgstore("--version").code, 0)
        for command in ("pull", "ls", "history", "inspect", "rm", "tag", "tags", "load", "unpack", "prune", "du", "verify",
                        "login", "logout", "help"):
            self.assertIn(command, self.ok(command, "--help"))


class Platforms(RegistryCase):
    def architecture(self, *options):
        return json.loads(self.ok("inspect", *options, self.name("multi")))[0]["Architecture"]

    def test_default(self):
        self.pull(self.name("multi"))
        self.assertEqual(self.architecture(), ARCHITECTURE)
        self.assertEqual(self.ok("inspect", "--raw", "index", self.name("multi")).encode(),
                         self.layout.read(self.multi["digest"]))

    def test_another(self):
        self.pull("--platform", f"linux/{OTHER_ARCHITECTURE}", self.name("multi"))
        self.assertEqual(self.architecture(), OTHER_ARCHITECTURE)
        self.assert_sound()

    def test_another_later(self):
        self.pull(self.name("multi"))
        self.pull("--platform", f"linux/{OTHER_ARCHITECTURE}", self.name("multi"))
        self.assertEqual(self.architecture(), OTHER_ARCHITECTURE)
        self.assert_sound()

    def test_platform_that_was_not_pulled(self):
        self.pull(self.name("multi"))
        for line in (["inspect", "--raw", "config"], ["history"]):
            self.fails(*line, "--platform", f"linux/{OTHER_ARCHITECTURE}", self.name("multi"), naming=OTHER_ARCHITECTURE)
        self.fails("unpack", "-q", "--platform", "linux/s390x", self.name("multi"), self.path("tree"), naming="s390x")
        self.assertFalse(os.path.exists(self.path("tree")))

    def test_all(self):
        self.pull("--all-platforms", self.name("multi"))
        for architecture in (ARCHITECTURE, OTHER_ARCHITECTURE):
            self.assertEqual(self.architecture("--platform", f"linux/{architecture}"), architecture)
        self.assertEqual(len(self.blobs()), 1 + 2 * 3)
        self.assert_sound()

    def test_one_that_is_missing(self):
        self.fails("pull", "-q", "--platform", "linux/s390x", self.name("multi"),
                   naming=["s390x", f"linux/{ARCHITECTURE}", f"linux/{OTHER_ARCHITECTURE}"])
        self.assertEqual(self.names(), [])
        self.fails("pull", "-q", "--platform", "linux/s390x", self.name("one"), naming=["s390x"])

    def test_text_that_is_no_platform(self):
        for text in ("/", "linux/", "linux/amd64/v1/x", "a b/c"):
            self.assertIn(self.imgstore("pull", "-q", "--platform", text, self.name("multi")).code, (1, 2), text)


class Transfers(RegistryCase):
    def test_shared_layer_is_not_fetched_again(self):
        self.pull(self.name("one"))
        self.requests()
        result = self.pull(self.name("two"))
        self.assertEqual(result.err.count("Already exists"), 1, result.err)
        self.assertEqual(len([r for r in self.requests() if "/blobs/" in r[1]]), 2)  # a layer and the config

    def test_second_pull_fetches_nothing(self):
        self.pull(self.name("one"))
        self.requests()
        result = self.pull(self.name("one"))
        self.assertIn("Status: Image is up to date", result.err)
        self.assertEqual([r for r in self.requests() if "/blobs/" in r[1] or r[0] == "GET" and "/manifests/" in r[1]], [])

    def test_moved_tag(self):
        self.registry.push(self.layout.folder, "one", "lab/moving", to="x", options=["--preserve-digests"])
        self.pull(self.name("x", "lab/moving"))
        self.registry.push(self.layout.folder, "two", "lab/moving", to="x", options=["--preserve-digests"])
        self.assertIn("Downloaded newer image", self.pull(self.name("x", "lab/moving")).err)
        self.assertEqual(json.loads(self.ok("inspect", self.name("x", "lab/moving")))[0]["Descriptor"]["digest"],
                         self.two["digest"])
        self.assertEqual(len(self.index()), 1)

    def test_quiet(self):
        result = self.pull("-q", self.name("one"))
        self.assertEqual((result.out, result.err), (self.name("one") + "\n", ""))

    def test_plain_lines(self):
        lines = self.pull("--progress", "plain", self.name("one")).err.splitlines()
        for words in ("Pulling fs layer", "Download complete", "Pull complete"):
            self.assertEqual(sum(re.fullmatch(rf"[0-9a-f]{{12}}: {words}", line) is not None for line in lines), 2, lines)
        self.assertNotIn("\x1b", "".join(lines))

    def test_json_lines(self):
        events = [json.loads(line) for line in self.pull("--progress", "json", self.name("one")).err.splitlines()]
        kinds = [e["event"] for e in events if e.get("object") != "config"]
        self.assertEqual((kinds[0], kinds[-1]), ("resolved", "committed"))
        self.assertEqual((kinds.count("complete"), kinds.count("flushing")), (2, 1))
        for event in events:
            if event["event"] == "downloading":
                self.assertLessEqual(event["done"], event["total"])
                self.assertRegex(event["digest"], SHA)

    def test_json_lines_of_a_failure(self):
        result = self.imgstore("pull", "--progress", "json", self.name("nosuch"))
        events = [json.loads(line) for line in result.err.splitlines()]
        self.assertEqual(result.code, 1)
        self.assertEqual([e["event"] for e in events].count("error"), 1)
        self.assertIn("nosuch", events[-1]["text"])

    def test_docker_schema_2(self):
        self.pull(self.name("one", "lab/docker"))
        manifest = json.loads(self.ok("inspect", "--raw", "manifest", self.name("one", "lab/docker")))
        self.assertEqual(manifest["mediaType"], images.DOCKER_MANIFEST)
        self.ok("unpack", "-q", self.name("one", "lab/docker"), self.path("tree"))
        self.assertEqual(sorted(os.listdir(self.path("tree"))), ["etc", "one"])
        self.assert_sound()

    def test_zstd(self):
        self.pull(self.name("latest", "library/zstd"))
        manifest = json.loads(self.ok("inspect", "--raw", "manifest", self.name("latest", "library/zstd")))
        self.assertTrue(all(layer["mediaType"].endswith("+zstd") for layer in manifest["layers"]), manifest)
        self.ok("unpack", "-q", self.name("latest", "library/zstd"), self.path("tree"))
        with open(self.path("tree", "etc", "motd"), encoding="ascii") as file:
            self.assertEqual(file.read(), "Hello from an image.\n")

    def test_zstd_beside_uncompressed(self):
        self.pull("--unpack", self.path("tree"), self.name("mixed"))
        self.assertEqual(sorted(os.listdir(self.path("tree"))), ["p", "z"])
        with open(self.path("tree", "z"), "rb") as file:
            self.assertEqual(file.read(), noise(3000))

    def test_many_layers(self):
        for workers in (0, 2):
            root, tree = self.path(f"store{workers}"), self.path(f"tree{workers}")
            self.ok("pull", "-q", "--workers", workers, "--unpack", tree, self.name("many"), root=root)
            self.assertEqual(len(os.listdir(tree)), 130)
            self.assert_sound(root)

    def test_empty_layers(self):
        self.pull("--unpack", self.path("tree"), self.name("empty"))
        self.assertEqual(os.listdir(self.path("tree")), ["etc"])
        self.assert_sound()

    def test_busybox_runs(self):
        self.pull("--unpack", self.path("tree"), self.name("latest", "library/busybox"))
        self.assertEqual(program.run_tool(self.path("tree", "bin", "busybox"), "echo", "runs"), b"runs\n")

    def test_workers_and_no_workers_make_the_same_store(self):
        for workers in (0, 1, 4):
            self.ok("pull", "-q", "--workers", workers, self.name("two"), root=self.path(f"s{workers}"))
        self.assertEqual(self.blobs(self.path("s0")), self.blobs(self.path("s1")))
        self.assertEqual(self.blobs(self.path("s0")), self.blobs(self.path("s4")))

    def test_damaged_blob_is_fetched_again(self):
        self.pull(self.name("one"))
        layer = json.loads(self.ok("inspect", "--raw", "manifest", self.name("one")))["layers"][0]["digest"]
        path = os.path.join(self.root, "blobs", *layer.split(":"))
        os.chmod(path, 0o644)
        with open(path, "r+b") as file:
            file.write(b"damage")
        result = self.imgstore("verify", "--full")
        self.assertEqual(result.code, 1)
        self.assertIn(layer, result.out)
        self.assertIn(self.name("one"), result.out)
        repaired = self.imgstore("verify", "--repair")
        self.assertEqual(repaired.code, 1)
        self.assertIn("quarantined", repaired.out)
        self.pull(self.name("one"))
        self.assert_sound()

    def test_truncated_blob_is_fetched_again_by_pull_itself(self):
        self.pull(self.name("one"))
        layer = json.loads(self.ok("inspect", "--raw", "manifest", self.name("one")))["layers"][0]["digest"]
        path = os.path.join(self.root, "blobs", *layer.split(":"))
        os.chmod(path, 0o644)
        os.truncate(path, 10)
        self.assertEqual(self.imgstore("verify").code, 1)
        self.pull(self.name("one"))
        self.assert_sound()


class Commands(RegistryCase):
    def test_ls(self):
        self.assertEqual(self.ok("ls", "-q"), "")
        self.pull(self.name("one"))
        self.pull(self.name("two"))
        table = self.ok("ls").splitlines()
        self.assertEqual(table[0].split(), ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"])
        self.assertEqual(sorted(line.split()[1] for line in table[1:]), ["one", "two"])
        self.assertIn(self.one["digest"], self.ok("ls", "--digests"))
        self.assertEqual([len(i) for i in self.ok("ls", "-q").split()], [12, 12])
        whole = self.ok("ls", "-q", "--no-trunc").split()
        self.assertTrue(all(re.fullmatch(SHA, i) for i in whole), whole)
        objects = [json.loads(line) for line in self.ok("ls", "--format", "json").splitlines()]
        self.assertEqual({o["Tag"] for o in objects}, {"one", "two"})
        self.assertEqual(len(self.ok("ls", "-q", self.name("one")).split()), 1)
        self.assertEqual(len(self.ok("ls", "-q", f"{self.registry.host}/lab/app").split()), 2)
        self.assertEqual(len(self.ok("ls", "-q", f"{self.registry.host}/lab/app:t*").split()), 1)
        self.assertEqual(self.ok("ls", "-q", "nothing*"), "")

    def test_inspect(self):
        self.pull(self.name("one"))
        for name in (self.name("one"), self.one["digest"], self.one["digest"][7:19], self.ok("ls", "-q").strip()):
            found = json.loads(self.ok("inspect", name))
            self.assertEqual(len(found), 1)
            self.assertEqual(found[0]["RepoTags"], [self.name("one")])
            self.assertEqual((found[0]["Os"], found[0]["Architecture"]), ("linux", ARCHITECTURE))
            self.assertEqual(found[0]["Config"]["Cmd"], ["/bin/sh"])
            self.assertEqual(found[0]["Config"]["Labels"], {"made.by": "tests"})
            self.assertEqual(len(found[0]["RootFS"]["Layers"]), 2)
        result = self.imgstore("inspect", self.name("one"), "nosuch")
        self.assertEqual((result.code, len(json.loads(result.out))), (1, 1), str(result))
        raw = self.imgstore("inspect", "--raw", "manifest", self.name("one")).raw
        self.assertEqual(images.digest_of(raw), self.one["digest"])
        config = self.imgstore("inspect", "--raw", "config", self.name("one")).raw
        self.assertEqual(images.digest_of(config), found[0]["Id"])

    def test_history(self):
        self.pull(self.name("one"))
        table = self.ok("history", self.name("one")).splitlines()
        self.assertEqual([("layer 1" in table[1]), ("layer 0" in table[2])], [True, True], table)
        objects = [json.loads(line) for line in self.ok("history", "--format", "json", self.name("one")).splitlines()]
        self.assertEqual([o["CreatedBy"] for o in objects], ["layer 1", "layer 0"])
        self.assertEqual(len(self.ok("history", "-q", self.name("one")).splitlines()), 2)

    def test_tag_and_rm(self):
        self.pull(self.name("one"))
        self.ok("tag", self.name("one"), "again")
        self.ok("tag", self.ok("ls", "-q", self.name("one")).strip(), "example.org/third:3")
        self.assertEqual(self.names(), sorted([self.name("one"), "again:latest", "example.org/third:3"]))
        self.assertEqual(self.ok("rm", self.name("one")), f'Untagged: {self.name("one")}\n')
        self.assertEqual(self.ok("rm", "again"), "Untagged: again:latest\n")
        self.assertIn("Deleted: ", self.ok("rm", "example.org/third:3"))
        self.assertEqual((self.names(), self.blobs()), ([], []))
        self.fails("rm", "again", naming="again")

    def test_rm_keeps_what_is_shared(self):
        self.pull(self.name("one"))
        self.pull(self.name("two"))
        self.assertEqual(self.ok("rm", self.name("one")).count("Deleted:"), 3)
        self.assertEqual(self.names(), [self.name("two")])
        self.assert_sound()
        self.ok("unpack", "-q", self.name("two"), self.path("tree"))

    def test_rm_by_id(self):
        self.pull(self.name("one"))
        short = self.ok("ls", "-q").strip()
        self.ok("tag", short, "second")
        result = self.imgstore("rm", short)
        self.assertEqual(result.code, 1, str(result))
        self.assertIn("--force", result.err)
        self.assertEqual(len(self.names()), 2)
        self.assertEqual(self.ok("rm", "-f", short).count("Untagged:"), 2)
        self.assertEqual((self.names(), self.blobs()), ([], []))

    def test_rm_goes_on_after_a_failure(self):
        self.pull(self.name("one"))
        result = self.imgstore("rm", "nosuch", self.name("one"))
        self.assertEqual(result.code, 1)
        self.assertIn("nosuch", result.err)
        self.assertEqual(self.names(), [])

    def test_ambiguous_prefix(self):
        layout, first_with, number = Layout(self.path("ambiguous")), {}, 0
        while True:  # until two configs share their first four digits
            number += 1
            config = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
                      "author": str(number)}
            digits = images.digest_of(json.dumps(config).encode())[7:11]
            if digits in first_with:
                break
            first_with[digits] = config
        for tag, text in (("a", first_with[digits]), ("b", config)):
            layout.image([], tag, config={**text, "config": None, "created": None, "history": None})
        self.ok("load", "-q", "-i", layout.folder)
        ids = self.ok("ls", "-q", "--no-trunc").split()
        self.assertEqual([i[7:11] for i in ids], [digits, digits])
        self.fails("inspect", "--raw", "config", digits, naming=[i[7:19] for i in ids])
        self.fails("rm", digits, naming=[i[7:19] for i in ids])
        self.assertEqual(len(self.names()), 2)

    def test_tags(self):
        self.assertEqual(sorted(self.ok("tags", f"{self.registry.host}/lab/app").split()),
                         ["empty", "many", "mixed", "multi", "one", "two"])
        self.fails("tags", f"{self.registry.host}/no/such", naming="no/such")

    def test_du(self):
        self.pull(self.name("one"))
        self.pull(self.name("two"))
        lines = [json.loads(line) for line in self.ok("du", "--format", "json").splitlines()]
        self.assertEqual({line.get("Image") for line in lines}, {self.name("one"), self.name("two"), None})
        one, two, total = sorted(lines, key=lambda line: str(line.get("Image", "z")))
        self.assertEqual(one["Shared"], two["Shared"])
        self.assertEqual(total["Total"], one["Unique"] + two["Unique"] + one["Shared"])
        stored = sum(os.path.getsize(p) for p in glob.glob(os.path.join(self.root, "blobs", "sha256", "*")))
        self.assertEqual(total["Total"], stored)
        self.assertIn("Total:", self.ok("du"))

    def test_prune(self):
        self.pull(self.name("one"))
        before = self.blobs()
        self.assertIn("Total reclaimed space: 0B", self.ok("prune"))
        self.assertEqual(self.blobs(), before)
        stray = noise(500)
        with open(os.path.join(self.root, "blobs", "sha256", images.digest_of(stray)[7:]), "wb") as file:
            file.write(stray)
        foreign = os.path.join(self.root, "blobs", "sha256", "README")
        with open(foreign, "w", encoding="ascii") as file:
            file.write("not ours")
        self.assertIn(images.digest_of(stray), self.ok("prune"))
        self.assertEqual(self.blobs(), sorted(before + ["README"]))

    def test_verify_names_what_is_missing(self):
        self.pull(self.name("one"))
        layer = json.loads(self.ok("inspect", "--raw", "manifest", self.name("one")))["layers"][1]["digest"]
        os.unlink(os.path.join(self.root, "blobs", *layer.split(":")))
        result = self.imgstore("verify")
        self.assertEqual(result.code, 1)
        self.assertRegex(result.out, f"missing: .*{layer}")
        self.pull(self.name("one"))
        self.assert_sound()

    def test_without_a_store(self):
        self.assertEqual(self.ok("ls", "-q"), "")
        self.ok("du")
        self.ok("prune")
        for line in (["inspect", "x"], ["rm", "x"], ["history", "x"], ["unpack", "x", self.path("tree")], ["tag", "x", "y"]):
            self.assertEqual(self.imgstore(*line).code, 1, line)
        self.assertFalse(os.path.exists(self.root))
        self.assertFalse(os.path.exists(self.path("tree")))

    def test_a_root_that_is_no_store(self):
        self.write("file", "x")
        self.fails("pull", "-q", self.name("one"), root=self.path("file"), naming=re.escape(self.path("file")))
        os.mkdir(self.path("other"))
        self.write("other/oci-layout", '{"imageLayoutVersion":"1.0.0"}')
        self.write("other/index.json", "{")
        result = self.imgstore("ls", root=self.path("other"))
        self.assertEqual(result.code, 1, str(result))

    def test_output_that_cannot_be_written(self):
        self.pull(self.name("one"))
        self.assertEqual(self.imgstore("ls", before=["sh", "-c", 'exec "$@" >/dev/full', "sh"]).code, 1)


class Together(program.Case):
    """Several processes, one store: seen by the fault server, which counts."""

    def serve(self, layout, *options):
        server = registry.FaultServer(self.path("server"), layout.folder, *options)
        self.addCleanup(server.stop)
        return server

    def test_eight_pulls_fetch_every_blob_once(self):
        server = self.serve(images.simple(self.path("layout"), 6, size=300000))
        running = [self.start("pull", "-q", server.name("plain")) for _ in range(8)]
        for process in running:
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out.decode()), (0, server.name("plain") + "\n"), err.decode())
        asked = [line["path"] for line in server.blob_gets()]
        self.assertEqual(sorted(asked), sorted(set(asked)))
        self.assertEqual(len(asked), 7)
        self.assertEqual(self.names(), [server.name("plain")])
        self.assert_sound()
        self.assert_clean()

    def test_eight_pulls_of_different_names(self):
        layout = images.simple(self.path("layout"), 2, tag="t0")
        for i in range(1, 8):
            layout.add(layout.entries[0], f"t{i}")
        server = self.serve(layout)
        running = [self.start("pull", "-q", server.name("plain", f"t{i}")) for i in range(8)]
        for process in running:
            self.assertEqual(process.wait(60), 0)
        self.assertEqual(self.names(), [server.name("plain", f"t{i}") for i in range(8)])

    def test_pull_killed_by_signal_is_resumed_by_the_next(self):
        layout = images.simple(self.path("layout"), 1, size=6000000)
        server = PacedServer(self, layout)
        process = self.start("pull", "-q", server.name)
        server.wait_for_half()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.assertEqual(self.imgstore("verify", "--full").code, 0)
        self.assertEqual(self.names(), [])
        server.let_go()
        self.ok("pull", "-q", server.name)
        self.assertTrue(server.ranges, "the second pull asked for the whole blob again")
        self.assert_sound()
        self.ok("prune")  # removes the lease of the one that was killed
        self.assert_clean()

    def test_interrupted_pull_ends_within_a_second(self):
        server = PacedServer(self, images.simple(self.path("layout"), 1, size=6000000))
        process = self.start("pull", "-q", server.name)
        server.wait_for_half()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(self.names(), [])

    def test_a_waiting_pull_takes_over(self):
        server = PacedServer(self, images.simple(self.path("layout"), 1, size=6000000))
        first = self.start("pull", "-q", server.name)
        server.wait_for_half()
        second = self.start("pull", "-q", server.name)
        time.sleep(0.5)
        self.assertIsNone(second.poll())
        server.let_go()
        first.send_signal(signal.SIGKILL)
        self.assertEqual(second.wait(20), 0)
        first.wait(5)
        self.assert_sound()
        self.ok("prune")
        self.assert_clean()


class PacedServer:
    """A static registry behind a gate: layers stop half-way until let_go()."""

    def __init__(self, case, layout):
        self.gate = threading.Event()
        self.half = threading.Event()
        self.ranges = []
        self.static = registry.StaticRegistry()
        case.addCleanup(self.static.stop)
        case.addCleanup(self.gate.set)
        self.static.serve_layout(layout)
        handler = self.static.server.RequestHandlerClass
        honest, outer = handler.respond, self

        def respond(request):
            kind, body = outer.static.answers.get("/".join(request.path.split("/")[-2:]), (None, b""))
            if request.command == "HEAD" or "/blobs/" not in request.path or len(body) < 100000:
                honest(request)
                return
            match = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
            start = int(match[1]) if match else 0
            request.send_response(206 if match else 200)
            if match:
                outer.ranges.append(match[0])
                request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            request.send_header("Content-Length", str(len(body) - start))
            request.end_headers()
            middle = max(start, len(body) // 2)
            request.wfile.write(body[start:middle])
            request.wfile.flush()
            outer.half.set()
            outer.gate.wait(30)
            request.wfile.write(body[middle:])

        handler.do_GET = handler.do_HEAD = respond
        self.name = f"{self.static.host}/lab/slow:latest"

    def wait_for_half(self):
        if not self.half.wait(20):
            raise AssertionError("nobody asked for the layer")
        time.sleep(0.5)  # until the bytes are at the other side

    def let_go(self):
        self.gate.set()


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo", "umoci", "busybox", "zstd"])
