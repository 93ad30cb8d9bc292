"""Archives: other tools read what save writes, and we what they write; archives that lie; pipes, interrupts, bytes."""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
from images import ARCHITECTURE, OTHER_ARCHITECTURE, Layer, Layout, entry, link, noise
from program import run_tool

SHARED = {}
NAME = "example.org/lab/image:1"


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-archive-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED["busybox"] = images.busybox(os.path.join(folder, "busybox"))


def skopeo(*arguments):
    return run_tool("skopeo", "--insecure-policy", *arguments)


class ArchiveCase(program.Case):
    def layout(self, layers=None, name="layout", **more):
        layout = Layout(self.path(name))
        layout.image(layers or [Layer([entry("data/"), entry("data/a", noise(5000))]),
                                Layer([entry("data/b", noise(70000, 2))], "")], **more)
        return layout

    def load(self, path, *options, **more):
        return self.ok("load", "-q", "-i", path, *options, **more)

    def members(self, path):
        with tarfile.open(path) as tar:
            return {m.name: tar.extractfile(m).read() if m.isreg() else None for m in tar.getmembers()}

    def inspect(self, name, **more):
        return json.loads(self.ok("inspect", name, **more))[0]


class Save(ArchiveCase):
    def setUp(self):
        super().setUp()
        self.load(self.layout().folder, "--rename", NAME)
        self.image = self.inspect(NAME)

    def save(self, *words, path="archive.tar"):
        self.ok("save", "-q", "-o", self.path(path), *words)
        return self.path(path)

    def test_docker_archive(self):
        members = self.members(self.save(NAME))
        manifest = json.loads(members["manifest.json"])
        self.assertEqual([m["RepoTags"] for m in manifest], [[NAME]])
        self.assertEqual("sha256:" + hashlib.sha256(members[manifest[0]["Config"]]).hexdigest(), self.image["Id"])
        for name, data in members.items():
            if name.startswith("blobs/sha256/"):
                self.assertEqual(hashlib.sha256(data).hexdigest(), name[len("blobs/sha256/"):])
        index = json.loads(members["index.json"])
        self.assertEqual(index["manifests"][0]["digest"], self.image["Descriptor"]["digest"])
        self.assertEqual(index["manifests"][0]["annotations"][images.REF_NAME], "1")

    def test_uncompressed(self):
        members = self.members(self.save("--uncompressed", NAME))
        manifest = json.loads(members["manifest.json"])[0]
        self.assertEqual(["sha256:" + name.split(".")[0] for name in manifest["Layers"]],
                         self.image["RootFS"]["Layers"])
        for name in manifest["Layers"]:
            self.assertEqual(hashlib.sha256(members[name]).hexdigest() + ".tar", name)

    def test_read_by_skopeo(self):
        for words, source in ((("--format", "oci-archive"), "oci-archive"), ((), "docker-archive"),
                              (("--uncompressed",), "docker-archive"), (("--format", "oci-dir"), "oci")):
            path = self.save(*words, NAME, path="x" + "".join(words).strip("-"))
            skopeo("copy", "-q", f"{source}:{path}", f"oci:{self.path('copy')}:{source}{len(words)}")
            config = json.loads(skopeo("inspect", "--config", f"oci:{self.path('copy')}:{source}{len(words)}"))
            self.assertEqual(config["rootfs"]["diff_ids"], self.image["RootFS"]["Layers"])

    def test_read_by_umoci(self):
        path = self.save("--format", "oci-dir", NAME, path="dir")
        self.assertEqual(sorted(os.listdir(path)), ["blobs", "index.json", "oci-layout"])
        self.assertEqual(run_tool("umoci", "ls", "--layout", path).split(), [b"1"])

    def test_directory_grows(self):
        self.ok("tag", NAME, "example.org/lab/image:2")
        self.save("--format", "oci-dir", NAME, path="dir")
        self.save("--format", "oci-dir", "example.org/lab/image:2", path="dir")
        self.assertEqual(sorted(run_tool("umoci", "ls", "--layout", self.path("dir")).split()), [b"1", b"2"])

    def test_same_bytes(self):
        for words in ((), ("--uncompressed",), ("--format", "oci-archive")):
            a, b = self.save(*words, NAME, path="a.tar"), self.save(*words, NAME, path="b.tar")
            with open(a, "rb") as one, open(b, "rb") as two:
                data = one.read()
                self.assertEqual(data, two.read())
            piped = self.imgstore("save", "-q", *words, NAME)
            self.assertEqual(piped.raw, data)

    def test_shared_layers_once(self):
        self.load(self.layout([Layer([entry("data/"), entry("data/a", noise(5000))]),
                               Layer([entry("c", noise(999, 3))])], name="second").folder,
                  "--rename", "example.org/lab/second:1")
        self.ok("tag", NAME, "example.org/lab/image:also")
        with tarfile.open(self.save(NAME, "example.org/lab/second:1", "example.org/lab/image:also")) as tar:
            names = tar.getnames()
        self.assertEqual(len(names), len(set(names)))
        manifest = json.loads(self.members(self.path("archive.tar"))["manifest.json"])
        self.assertEqual([m["RepoTags"] for m in manifest],
                         [[NAME, "example.org/lab/image:also"], ["example.org/lab/second:1"]])

    def test_by_id(self):
        members = self.members(self.save(self.image["Id"]))
        self.assertEqual(json.loads(members["manifest.json"])[0]["RepoTags"], [])
        self.fails("save", "-q", "--format", "oci-dir", "-o", self.path("d"), self.image["Id"], naming="name")
        self.assertFalse(os.path.exists(self.path("d")))

    def test_platforms(self):
        layout = Layout(self.path("multi"))
        layout.multi({ARCHITECTURE: [Layer([entry("mine", b"1")])], OTHER_ARCHITECTURE: [Layer([entry("other", b"2")])]})
        self.load(layout.folder, "--rename", "example.org/lab/multi:1")
        one = json.loads(self.members(self.save("example.org/lab/multi:1"))["manifest.json"])
        self.assertEqual(len(one), 1)
        other = self.members(self.save("--platform", OTHER_ARCHITECTURE, "example.org/lab/multi:1"))
        self.assertEqual(json.loads(other[json.loads(other["manifest.json"])[0]["Config"]])["architecture"],
                         OTHER_ARCHITECTURE)
        both = self.members(self.save("--all-platforms", "example.org/lab/multi:1"))
        self.assertEqual([len(m["RepoTags"]) for m in json.loads(both["manifest.json"])].count(1), 1)
        self.assertEqual(json.loads(both["index.json"])["manifests"][0]["mediaType"], images.OCI_INDEX)
        self.fails("save", "-q", "-o", self.path("no.tar"), "--platform", "linux/s390x", "example.org/lab/multi:1",
                   naming="s390x")
        self.assertFalse(os.path.exists(self.path("no.tar")))

    def test_failures_leave_nothing(self):
        digest = self.inspect(NAME)["Descriptor"]["digest"]
        layer = max(self.blobs(), key=lambda b: os.path.getsize(os.path.join(self.root, "blobs", "sha256", b)))
        path = os.path.join(self.root, "blobs", "sha256", layer)
        with open(path, "r+b") as file:
            file.seek(100)
            file.write(b"damage")
        for words in ((), ("--format", "oci-archive"), ("--format", "oci-dir")):
            self.fails("save", "-q", *words, "-o", self.path("out"), NAME, naming=layer)
            self.assertEqual([n for n in os.listdir(self.dir) if n.startswith(("out", ".imgstore"))], [], words)
        self.assertTrue(digest)

    def test_a_file_is_replaced_when_complete(self):
        with open(self.path("archive.tar"), "wb") as file:
            file.write(b"old")
        self.fails("save", "-q", "-o", self.path("archive.tar"), "example.org/no/such:1", naming="no/such")
        with open(self.path("archive.tar"), "rb") as file:
            self.assertEqual(file.read(), b"old")
        self.save(NAME)
        self.assertTrue(tarfile.is_tarfile(self.path("archive.tar")))

    def test_places(self):
        self.fails("save", "-q", "-o", self.dir, NAME, naming="directory")
        self.fails("save", "-q", "-o", self.path("no", "such", "x.tar"), NAME, naming="x.tar")
        self.ok("save", "-q", "-o", "/dev/null", NAME)
        self.assertEqual(self.imgstore("save", "--format", "zip", NAME).code, 2)
        self.assertEqual(self.imgstore("save", "--format", "oci-dir", NAME).code, 2)

    def test_a_reader_that_leaves(self):
        with subprocess.Popen(self.command(("save", "-q", NAME)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment()) as process:
            process.stdout.read(100)
            process.stdout.close()
            error = process.stderr.read().decode()
            self.assertEqual(process.wait(30), 1, error)
        self.assertRegex(error, "^imgstore: .*cannot write")


if __name__ == "__main__":
    program.main(("umoci", "skopeo"))
