"""Archives: other tools read what save writes, and we what they write; archives that lie; pipes, interrupts, bytes."""
import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import trees
from images import ARCHITECTURE, OTHER_ARCHITECTURE, Layer, Layout, entry, hardlink, link, noise
from program import run_tool

SHARED = {}
NAME = "example.org/lab/image:1"


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-archive-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED["busybox"] = images.busybox(os.path.join(folder, "busybox"))


def read(path):
    with open(path, "rb") as file:
        return file.read()


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

    def test_compressed_as_a_whole(self):
        for words in ((), ("--uncompressed",), ("--format", "oci-archive")):
            plain = read(self.save(NAME, *words))
            for how, tool in (("gzip", "gzip"), ("fast", "gzip"), ("zstd", "zstd"), ("none", None)):
                with self.subTest(how=how, words=words):
                    packed = self.save(NAME, *words, "--compression", how, path="packed")
                    unpack = "cat" if how == "none" else f"{tool} -dc"
                    self.assertEqual(run_tool("sh", "-c", f'{unpack} <"$0"', packed), plain)
                    piped = self.imgstore("save", "-q", *words, "--workers", 2, "--compression", how, NAME)
                    self.assertEqual(piped.raw, read(packed))

    def test_compressed_is_loaded_as_it_was(self):
        plain = read(self.save(NAME))
        for how in ("gzip", "zstd"):
            packed, root = self.save(NAME, "--compression", how, path="packed"), self.path("root-" + how)
            self.load(packed, root=root)
            self.assertEqual(self.imgstore("save", "-q", NAME, root=root).raw, plain)
            packed = self.save(NAME, "--format", "oci-archive", "--compression", how, path="packed-oci")
            config = json.loads(skopeo("inspect", "--config", f"oci-archive:{packed}"))
            self.assertEqual(config["rootfs"]["diff_ids"], self.image["RootFS"]["Layers"])

    def test_compression_that_there_is_not(self):
        for words in (("--compression", "bzip2"), ("--format", "oci-dir", "--compression", "gzip")):
            result = self.imgstore("save", "-q", *words, "-o", self.path("x"), NAME)
            self.assertEqual(result.code, 2)
            self.assertIn("--compression is", result.err)
            self.assertFalse(os.path.exists(self.path("x")))

    def test_into_a_pipe_with_a_name(self):
        pipe, plain = self.path("pipe"), self.save(NAME)
        os.mkfifo(pipe)
        child = self.start("save", "-q", "-o", pipe, NAME)
        time.sleep(0.5)
        self.assertIsNone(child.poll())
        self.assertEqual(read(pipe), read(plain))
        self.assertEqual(child.wait(10), 0)
        for command in (["save", "-o", pipe, NAME], ["export", "-o", pipe, NAME],
                        ["copy", f"store:{NAME}", f"docker-archive:{pipe}"]):
            child = self.start(*command)
            time.sleep(0.5)
            self.assertIsNone(child.poll())
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(5), 130)
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))

    def test_standard_output_by_its_name(self):
        target, plain = os.readlink("/dev/stdout"), self.save(NAME)
        run_tool("sh", "-c", '"$@" >"$0"', self.path("out"), *self.command(["save", "-q", "-o", "/dev/stdout", NAME]))
        self.assertEqual(read(self.path("out")), read(plain))
        self.assertEqual(os.readlink("/dev/stdout"), target)

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


def tar(members, path=None, mode="w"):
    """A tar of (name, bytes) or of entries of images.py."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:
        for member in members:
            info, data = member if isinstance(member[0], tarfile.TarInfo) else entry(*member)
            file.addfile(info, io.BytesIO(data))
    if path:
        with open(path, "wb") as file:
            file.write(out.getvalue())
    return out.getvalue()


class Docker:
    """A docker-archive made by hand: every part may be replaced by a lie."""

    def __init__(self, layers=None, tags=("lab/hand:1",)):
        self.layers = layers or [images.tar_of([entry("a", noise(3000))]), images.tar_of([entry("b", b"b")])]
        self.names = [f"{hashlib.sha256(data).hexdigest()}.tar" for data in self.layers]
        self.config = {"architecture": ARCHITECTURE, "os": "linux", "config": {"Cmd": ["sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [images.digest_of(data) for data in self.layers]}}
        self.tags = list(tags)
        self.manifest = None

    def members(self):
        config = json.dumps(self.config).encode()
        name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = self.manifest or [{"Config": name, "RepoTags": self.tags, "Layers": self.names}]
        unique = dict(zip(self.names, self.layers))
        return [*unique.items(), (name, config), ("manifest.json", json.dumps(manifest).encode())]


class Load(ArchiveCase):
    def make(self, members, name="hand.tar"):
        tar(members, self.path(name))
        return self.path(name)

    def config_of(self, name):
        return self.inspect(name)["Id"]

    def test_what_save_writes(self):
        layout = Layout(self.path("multi"))
        layout.multi({ARCHITECTURE: [Layer([entry("mine", b"1")], "zstd"), Layer([entry("x", noise(200000))], "")],
                      OTHER_ARCHITECTURE: [Layer([entry("other", b"2")])]})
        self.load(layout.folder, "--rename", "example.org/lab/multi:1")
        self.load(self.layout().folder, "--rename", NAME)
        for words in ((), ("--all-platforms",), ("--uncompressed",), ("--format", "oci-archive", "--all-platforms")):
            self.ok("save", "-q", *words, "-o", self.path("x.tar"), NAME, "example.org/lab/multi:1")
            for source in ("file", "pipe"):
                other = self.path("store" + source + "".join(words))
                if source == "file":
                    out = self.load(self.path("x.tar"), root=other)
                else:
                    with open(self.path("x.tar"), "rb") as file:
                        out = self.load("-", root=other, data=file.read())
                self.assertEqual(out.split(), ["Loaded", "image:", NAME, "Loaded", "image:", "example.org/lab/multi:1"])
                self.assertEqual(self.inspect(NAME, root=other)["Id"], self.config_of(NAME))
                self.assert_sound(root=other)
                self.assert_clean(root=other)
                if "--uncompressed" not in words:
                    self.assertEqual(self.inspect(NAME, root=other)["Descriptor"], self.inspect(NAME)["Descriptor"])
        self.assertEqual(self.blobs(root=self.path("storepipe--all-platforms")), self.blobs())

    def test_what_skopeo_writes(self):
        layout = self.layout()
        expected = json.loads(skopeo("inspect", "--config", f"oci:{layout.folder}:latest"))["rootfs"]["diff_ids"]
        for kind in ("docker-archive", "oci-archive"):
            skopeo("copy", "-q", f"oci:{layout.folder}:latest", f"{kind}:{self.path(kind)}:example.org/lab/sk:1")
            self.assertEqual(self.load(self.path(kind)), "Loaded image: example.org/lab/sk:1\n")
            self.assertEqual(self.inspect("example.org/lab/sk:1")["RootFS"]["Layers"], expected)
            self.ok("unpack", "-q", "example.org/lab/sk:1", self.path("tree-" + kind))
            self.ok("rm", "example.org/lab/sk:1")
            self.assertEqual(self.blobs(), [])

    def test_compressed_as_a_whole(self):
        plain = self.make(Docker().members())
        run_tool("gzip", "-k", plain)
        run_tool("zstd", "-q", plain)
        for path in (plain + ".gz", plain + ".zst"):
            self.assertEqual(self.load(path), "Loaded image: lab/hand:1\n")
            self.ok("rm", "lab/hand:1")
            with open(path, "rb") as file:
                self.assertEqual(self.load("-", data=file.read()), "Loaded image: lab/hand:1\n")
            self.ok("rm", "lab/hand:1")

    def legacy(self):
        """As docker save wrote it up to version 24: a folder for each layer, and a link where two are the same."""
        docker = Docker()
        docker.layers.append(docker.layers[0])
        docker.config["rootfs"]["diff_ids"].append(images.digest_of(docker.layers[0]))
        ids = [hashlib.sha256(bytes([i])).hexdigest() for i in range(3)]
        members = []
        for i, layer in enumerate(docker.layers):
            members += [(ids[i] + "/",), (ids[i] + "/VERSION", b"1.0"), (ids[i] + "/json", b'{"id":"x"}')]
            members.append((ids[i] + "/layer.tar", layer) if i < 2 else link(ids[i] + "/layer.tar", f"../{ids[0]}/layer.tar"))
        config = json.dumps(docker.config).encode()
        name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = [{"Config": name, "RepoTags": ["hand:1", "hand:2"], "Layers": [i + "/layer.tar" for i in ids]}]
        return [*members, (name, config), ("manifest.json", json.dumps(manifest).encode()),
                ("repositories", b'{"hand":{"1":"%s"}}' % ids[2].encode())]

    def test_old_docker(self):
        self.assertEqual(self.load(self.make(self.legacy())), "Loaded image: hand:1\nLoaded image: hand:2\n")
        self.assertEqual(len(self.inspect("hand:1")["RootFS"]["Layers"]), 3)
        self.assertEqual(len(self.blobs()), 4)
        self.ok("unpack", "-q", "hand:2", self.path("tree"))
        self.assertEqual(sorted(os.listdir(self.path("tree"))), ["a", "b"])

    def test_new_docker(self):
        """As docker save has written it since version 25: an OCI layout with manifest.json beside it."""
        layout = self.layout([Layer([entry("a", noise(3000))], ""), Layer([entry("b", b"b")], "")])
        descriptor = layout.entries[0]
        manifest = json.loads(layout.read(descriptor["digest"]))
        path = lambda d: "blobs/" + d["digest"].replace(":", "/")
        annotations = {"io.containerd.image.name": "docker.io/library/hand:1", images.REF_NAME: "1"}
        index = {"schemaVersion": 2, "manifests": [{**descriptor, "annotations": annotations}]}
        docker = [{"Config": path(manifest["config"]), "RepoTags": ["hand:1"], "Layers": [path(d) for d in manifest["layers"]]}]
        blobs = [("blobs/sha256/" + d.split(":")[1], layout.read(d)) for d in layout.digests()]
        documents = [("index.json", json.dumps(index).encode()), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]
        for forced in ("docker-archive", "oci-archive", None):
            archive = self.make([*blobs, *documents, ("manifest.json", json.dumps(docker).encode())])
            self.assertEqual(self.load(archive, *(["--format", forced] if forced else [])), "Loaded image: hand:1\n")
        self.assertEqual(self.inspect("hand:1")["Descriptor"]["digest"], descriptor["digest"])
        docker[0]["Layers"].reverse()
        archive = self.make([*blobs, *documents, ("manifest.json", json.dumps(docker).encode())])
        self.refused(archive, "index.json has no image")
        self.refused(archive, "layer .* config says", "--format", "docker-archive")

    def test_several_images(self):
        one, two = Docker(tags=["lab/one:1"]), Docker(Docker().layers[:1], tags=["lab/two:1", "lab/two:2"])
        members = {m[0]: m for m in one.members()[:-1] + two.members()[:-1]}
        manifest = [json.loads(d.members()[-1][1])[0] for d in (one, two)]
        archive = self.make([*members.values(), ("manifest.json", json.dumps(manifest).encode())])
        self.load(archive)
        self.assertEqual(self.names(), ["lab/one:1", "lab/two:1", "lab/two:2"])
        self.ok("rm", "lab/one:1", "lab/two:1", "lab/two:2")
        self.load(archive, "--name", "lab/two:2", "--rename", "lab/mine:1")
        self.assertEqual(self.names(), ["lab/mine:1"])
        self.assertEqual(len(self.blobs()), 3)
        self.fails("load", "-q", "-i", archive, "--rename", "lab/x:1", naming="3 references")
        self.fails("load", "-q", "-i", archive, "--name", "lab/no:1", naming="lab/no:1")

    def test_names(self):
        archive = self.make(Docker(tags=[]).members(), "Nice.Name.tar")
        self.assertEqual(self.load(archive), "Loaded image: nice.name:latest\n")
        with open(archive, "rb") as file:
            data = file.read()
        self.fails("load", "-q", data=data, naming="standard input: .*name")
        self.assertEqual(self.load("-", "--rename", "lab/x", data=data), "Loaded image: lab/x:latest\n")

    def test_dots_before_names(self):
        members = [("./" + name, data) for name, data in Docker().members()]
        self.assertEqual(self.load(self.make(members)), "Loaded image: lab/hand:1\n")

    def test_what_nothing_needs_is_dropped(self):
        self.load(self.make([*Docker().members(), ("README", b"hello"), ("big", noise(100000))]))
        self.assertEqual(len(self.blobs()), 4)

    # --- lies ---

    def refused(self, archive, naming, *words, **more):
        """Nothing is published, nothing is left, and the error names the archive."""
        names, blobs = self.names(), self.blobs()
        line = self.fails("load", "-q", "-i", archive, *words, naming=naming, **more)
        self.assertIn(os.path.basename(archive) if archive != "-" else "standard input", line)
        self.assertEqual((self.names(), self.blobs()), (names, blobs))
        self.assert_clean()
        ingest = os.path.join(self.root, ".imgstore", "ingest")
        self.assertEqual(os.listdir(ingest) if os.path.isdir(ingest) else [], [])
        return line

    def test_layers_that_are_not_there(self):
        docker = Docker()
        docker.names[1] = "missing.tar"
        self.refused(self.make([m for m in docker.members() if m[0] != "missing.tar"]), "missing.tar.*not in the archive")

    def test_layers_of_another_image(self):
        docker = Docker()
        docker.layers[1] = images.tar_of([entry("evil", b"!")])
        self.refused(self.make(docker.members()), f"{docker.names[1]}.*the config says")

    def test_a_layer_twice(self):
        docker = Docker()
        docker.names[1] = docker.names[0]
        self.refused(self.make(docker.members()), "the config says")

    def test_too_few_and_too_many_layers(self):
        for change in (lambda names: names.pop(), lambda names: names.append(names[0])):
            docker = Docker()
            change(docker.names)
            self.refused(self.make(docker.members()), "diff_ids")

    def test_configs(self):
        members = Docker().members()
        self.refused(self.make([m for m in members if not m[0].endswith(".json") or m[0] == "manifest.json"]),
                     "Config.*not in the archive")
        self.refused(self.make([(n, b"{") if n.endswith(".json") and n != "manifest.json" else (n, d) for n, d in members]),
                     "config")

    def test_manifests(self):
        members = Docker().members()
        for text, naming in ((b"", "manifest.json"), (b"{}", "no array"), (b"[1]", "no object"), (b"[{}]", "Config is missing"),
                             (b'[{"Config":3}]', "Config is not a string"), (b"[" * 1000, "manifest.json"),
                             (b'[{"Config":"../x"}]', "leads out"), (b'[{"Config":"/etc/passwd"}]', "leads out"),
                             (b"[]", "holds no image"), (b'[{"Config":"manifest.json"}]', "is no blob")):
            self.refused(self.make([*members[:-1], ("manifest.json", text)]), naming)
        self.refused(self.make([*members[:-1], ("manifest.json", b" " * (100 << 20))]), "manifest.json.*104857600 bytes")
        self.refused(self.make(members[:-1]), "neither manifest.json nor index.json")
        self.refused(self.make([("repositories", b"{}")]), "before 1.10")

    def test_members(self):
        members = Docker().members()
        fifo = entry("pipe", kind=tarfile.FIFOTYPE)
        device = entry("null", kind=tarfile.CHRTYPE, device=(1, 3))
        for extra, naming in ((("../evil", b"x"), "evil.*leads out"), (("/etc/evil", b"x"), "evil.*leads out"),
                              (("a/../../evil", b"x"), "leads out"), (link("l", "/etc/passwd"), "passwd.*leads out"),
                              (link("a/l", "../../x"), "leads out"), (images.hardlink("h", "../x"), "leads out"),
                              (fifo, "is a pipe"), (device, "is a device"), (members[0], "twice"), (members[-1], "twice"),
                              (("./" + members[0][0], b""), "twice"), (("blobs/sha256/" + "0" * 64, b"x"), "hashes to")):
            self.refused(self.make([extra, *members]), naming)

    def test_links_in_circles(self):
        docker = Docker()
        docker.names[1] = "loop"
        members = [m for m in docker.members() if m[0] != "loop"]
        self.refused(self.make([link("loop", "loop2"), link("loop2", "loop"), *members]), "loop.*not in the archive")

    def test_truncated_anywhere(self):
        data = tar(Docker().members())
        end = len(data.rstrip(b"\0"))
        for size in (0, 1, 511, 512, 700, 2000, 4000, end // 2, end - 100):
            with open(self.path("cut.tar"), "wb") as file:
                file.write(data[:size])
            self.refused(self.path("cut.tar"), "cut.tar")
        whole = subprocess.run(["gzip", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
        for size in (5, 100, len(whole) - 4):
            self.refused("-", "standard input", data=whole[:size])

    def test_no_archive(self):
        for data in (b"hello", b"\0" * 4096, noise(100000), b"PK\3\4" + b"x" * 1000, b"\x1f\x8bxxxxxxxx"):
            with open(self.path("odd.tar"), "wb") as file:
                file.write(data)
            self.refused(self.path("odd.tar"), "odd.tar")
        self.fails("load", "-q", "-i", self.path("none.tar"), naming="none.tar")

    def test_bombs(self):
        bomb = subprocess.run(["gzip", "-9c"], input=b"\0" * (1 << 28), stdout=subprocess.PIPE, check=True).stdout
        docker = Docker(layers=[bomb])
        line = self.refused(self.make(docker.members()), "ratio|limit|more than")
        self.assertIn(docker.names[0], line)
        with open(self.path("bomb.tar.gz"), "wb") as file:
            file.write(bomb)
        self.refused(self.path("bomb.tar.gz"), "bomb.tar.gz")

    def test_an_index_that_lies(self):
        layout = self.layout()
        blobs = {d: layout.read(d) for d in layout.digests()}
        documents = [("index.json", json.dumps({"schemaVersion": 2, "manifests": layout.entries}).encode()),
                     ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]

        def archive(left_out=None, more=documents):
            return self.make([("blobs/sha256/" + d.split(":")[1], data) for d, data in blobs.items() if d != left_out] + more)

        for digest in blobs:
            self.refused(archive(digest), digest)
        self.refused(archive(more=documents[:1]), "oci-layout is missing")
        self.refused(archive(more=[documents[0], ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}')]), "layout version 2")
        entry_of = {**layout.entries[0], "size": 5}
        text = json.dumps({"schemaVersion": 2, "manifests": [entry_of]}).encode()
        self.refused(archive(more=[("index.json", text), documents[1]]), "bytes")
        self.assertEqual(self.load(archive()), "Loaded image: hand:latest\n")

    def test_killed_at_any_time(self):
        layers = [images.tar_of([entry("a", noise(3 << 20, i))]) for i in range(3)]
        data = tar(Docker(layers).members())
        for size in range(0, len(data), len(data) // 7):
            process = subprocess.Popen(self.command(("load", "-q")), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env=self.environment())
            process.stdin.write(data[:size])
            process.stdin.flush()
            process.kill()
            process.communicate()
            self.assertEqual(self.names(), [])
        self.ok("prune")
        self.assertEqual(self.blobs(), [])
        self.assertEqual(self.load("-", data=data), "Loaded image: lab/hand:1\n")
        self.assert_sound()


class Import(ArchiveCase):
    ENTRIES = [entry("./"), entry("./bin/", mode=0o711), entry("./bin/tool", noise(300000), mode=0o4755, uid=5, gid=6),
               hardlink("./bin/also", "./bin/tool"), link("./sh", "bin/tool"), entry("etc/"), entry("etc/conf", b"x" * 10)]

    def imported(self, data, *words, name="mine:1", **more):
        image = self.ok("import", "-q", *words, "-", name, data=data, **more).strip()
        self.assertEqual(self.inspect(name)["Id"], image)
        return self.inspect(name)

    def test_forms(self):
        data = images.tar_of(self.ENTRIES)
        expected = [images.digest_of(data)]
        forms = {"x.tar": data, "x.tar.gz": subprocess.run(["gzip"], input=data, stdout=subprocess.PIPE, check=True).stdout,
                 "x.tar.zst": images.zstd_of(data)}
        for name, content in forms.items():
            self.assertEqual(self.imported(content)["RootFS"]["Layers"], expected)
            with open(self.path(name), "wb") as file:
                file.write(content)
            self.ok("import", "-q", self.path(name), "mine:2")
            self.assertEqual(self.inspect("mine:2")["RootFS"]["Layers"], expected)
        self.ok("unpack", "-q", "mine:1", self.path("tree"))
        self.assertEqual(sorted(os.listdir(self.path("tree"))), ["bin", "etc", "sh"])
        self.assertEqual(os.stat(self.path("tree", "bin", "tool")).st_nlink, 2)
        self.assertEqual(len([line for line in self.ok("history", "-q", "mine:1").splitlines()]), 1)
        skopeo("copy", "-q", f"oci:{self.root}:1", f"oci:{self.path('copy')}:1")

    def test_changes(self):
        words = []
        for change in ('CMD ["a","b c"]', "ENTRYPOINT run it", "ENV A=1 B='x y'", "ENV A two words", 'LABEL k=v l="q r"',
                       "expose 80 90/udp", "USER 1000:1000", 'VOLUME ["/a", "/b"]', "WORKDIR /srv", "STOPSIGNAL SIGINT",
                       "ONBUILD RUN make"):
            words += ["-c", change]
        image = self.imported(images.tar_of(self.ENTRIES), *words, "-m", "a comment", "--platform", "linux/arm64")
        config = image["Config"]
        self.assertEqual((config["Cmd"], config["Entrypoint"]), (["a", "b c"], ["/bin/sh", "-c", "run it"]))
        self.assertEqual((config["Env"], config["Labels"]), (["A=two words", "B=x y"], {"k": "v", "l": "q r"}))
        self.assertEqual((set(config["ExposedPorts"]), set(config["Volumes"])), ({"80/tcp", "90/udp"}, {"/a", "/b"}))
        self.assertEqual((config["User"], config["WorkingDir"], config["OnBuild"]), ("1000:1000", "/srv", ["RUN make"]))
        self.assertEqual((image["Comment"], image["Architecture"]), ("a comment", "arm64"))
        for change in ("FROM x", "CMD", "ENV A", "ENV =x", "CMD [1]", 'CMD ["a"', "USER a b", "", "EXPOSE http", "STOPSIGNAL -1x"):
            self.fails("import", "-q", "-c", change, "-", "x", data=images.tar_of(self.ENTRIES))
        self.assertEqual(self.names(), ["mine:1"])

    def test_what_is_refused(self):
        tool = entry("bin/tool", b"x")
        for entries, naming in (([entry("a/.wh.b")], "whiteout"), ([hardlink("x", "nothing")], "nothing"),
                                ([entry("/".join("a" * 600))], "limit|deep|components|more than"),
                                ([tool, hardlink("bin", "bin/tool")], "bin")):
            line = self.fails("import", "-q", "-", "x:1", data=images.tar_of(entries), naming=naming)
            self.assertIn("standard input", line)
        data = images.tar_of(self.ENTRIES)
        for bad in (b"", b"no tar at all", data[:700], data[:100000], b"\x1f\x8b" + data):
            self.fails("import", "-q", "-", "x:1", data=bad, naming="standard input")
        self.fails("import", "-q", self.path("none"), "x:1", naming="none")
        self.fails("import", "-q", "-", "UPPER:1", data=data, naming="UPPER")
        self.fails("import", "-q", "-", "x@sha256:" + "0" * 64, data=data, naming="digest")
        self.assertEqual((self.names(), self.blobs()), ([], []))
        self.assert_clean()


class Export(ArchiveCase):
    def setUp(self):
        super().setUp()
        pax = {"mtime": "1600000000.123456789"}
        deep = "deep/" * 40 + "file"
        layers = [
            Layer([entry("./", mode=0o750), entry("usr/"), entry("usr/bin/", mode=0o700), entry("usr/bin/a", b"a" * 3000, mode=0o4711),
                   entry("usr/bin/gone", b"gone"), hardlink("usr/bin/kept", "usr/bin/gone"), link("bin", "usr/bin"),
                   entry("old/"), entry("old/x", b"x"), entry("old/sub/"), entry("old/sub/y", b"y"), entry(deep, b"deep"),
                   entry("etc/", xattrs={"user.dir": "1"}), entry("etc/conf", b"1", xattrs={"user.k": "v"}, pax=pax)]),
            Layer([entry("usr/bin/.wh.gone"), entry("old/.wh..wh..opq"), entry("old/new", noise(50000)), entry("etc/conf", b"22"),
                   hardlink("usr/bin/again", "usr/bin/a"), entry("late/", mode=0o1777, uid=7, gid=8)], "zstd"),
            Layer([entry("etc/", mode=0o711, xattrs={"user.dir": "1"}), entry("empty/"), entry("etc/big", noise(2 << 20, 5)), entry("implied/only/this", b"z")], ""),
        ]
        self.load(self.layout(layers).folder, "--rename", NAME)

    def unpack(self, name, folder):
        self.ok("unpack", "-q", "--xattr-policy", "skip", name, self.path(folder))
        return self.path(folder)

    def test_the_merged_files(self):
        self.ok("export", "-q", "-o", self.path("out.tar"), NAME)
        ours = self.unpack(NAME, "ours")
        os.mkdir(self.path("theirs"))
        run_tool("tar", "-C", self.path("theirs"), "--xattrs", "--xattrs-include=*", "-xpf", self.path("out.tar"))
        with tarfile.open(self.path("out.tar")) as file:
            names = file.getnames()
        self.assertEqual(len(names), len(set(names)))
        self.assertFalse([name for name in names if ".wh." in name])
        if program.IS_ROOT:
            # What no layer describes has no time of its own.
            implied = ("implied", "deep")
            lines = [line for line in trees.differences(ours, self.path("theirs")) if not any(i in line for i in implied)]
            self.assertEqual(lines, [])
        self.assertEqual(sorted(os.listdir(os.path.join(ours, "old"))), ["new"])

    def test_there_and_back(self):
        self.ok("export", "-q", "-o", self.path("out.tar"), NAME)
        self.ok("import", "-q", self.path("out.tar"), "back:1")
        lines = [line for line in trees.differences(self.unpack(NAME, "one"), self.unpack("back:1", "two"))
                 if "implied" not in line and "deep" not in line]
        self.assertEqual(lines, [])
        self.ok("export", "-q", "-o", self.path("again.tar"), "back:1")
        with tarfile.open(self.path("out.tar")) as one, tarfile.open(self.path("again.tar")) as two:
            self.assertEqual(sorted(one.getnames()), sorted(two.getnames()))

    def test_same_bytes_anywhere(self):
        self.ok("export", "-q", "-o", self.path("out.tar"), NAME)
        with open(self.path("out.tar"), "rb") as file:
            data = file.read()
        for workers in ("0", "3"):
            self.assertEqual(self.imgstore("--workers", workers, "export", "-q", NAME).raw, data)

    def test_failures(self):
        self.fails("export", "-q", "-o", self.path("x.tar"), "no/such:1", naming="no/such")
        layer = max(self.blobs(), key=lambda b: os.path.getsize(os.path.join(self.root, "blobs", "sha256", b)))
        with open(os.path.join(self.root, "blobs", "sha256", layer), "r+b") as file:
            file.seek(70000)
            file.write(b"damage")
        self.fails("export", "-q", "-o", self.path("x.tar"), NAME, naming=layer)
        self.assertEqual([n for n in os.listdir(self.dir) if n.startswith(("x", ".imgstore"))], [])


class OtherStores(ArchiveCase):
    """podman and buildah with a storage of their own; without it, or its privileges, there is nothing to test."""

    def tool(self, *words):
        env = {**os.environ, "STORAGE_DRIVER": "vfs", "HOME": self.home}
        line = [words[0], "--root", self.path("their"), "--runroot", self.path("their-run"), *words[1:]]
        return subprocess.run(line, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120, check=False)

    def need(self, tool):
        if program.lack_of([tool]) or not program.IS_ROOT or self.tool(tool, "images", "-q").returncode:
            self.skipTest(f"{tool} does not run here")

    def succeed(self, *words):
        done = self.tool(*words)
        program.skip_in_chroot(words, done.stderr)
        self.assertEqual(done.returncode, 0, f"{words}: {done.stderr.decode()}")
        return done.stdout.decode()

    def test_podman(self):
        self.need("podman")
        self.load(self.layout().folder, "--rename", NAME)
        self.ok("tag", NAME, "example.org/lab/image:2")
        for words in ((), ("--uncompressed",), ("--format", "oci-archive")):
            names = [NAME] if "--format" in words else [NAME, "example.org/lab/image:2"]
            self.ok("save", "-q", *words, "-o", self.path("x.tar"), *names)
            self.succeed("podman", "load", "-i", self.path("x.tar"))
            for name in names:
                self.assertEqual("sha256:" + self.succeed("podman", "image", "inspect", "-f", "{{.Id}}", name).strip(),
                                 self.inspect(NAME)["Id"])
            self.succeed("podman", "rmi", "-af")
        for words in ((), ("--compression", "gzip"), ("--compression", "zstd")):
            self.ok("save", "-q", *words, "-o", self.path("x.tar"), NAME)
            self.succeed("podman", "load", "-i", self.path("x.tar"))
            self.succeed("podman", "rmi", "-af")
        self.ok("save", "-q", "-o", self.path("x.tar"), NAME)
        self.succeed("podman", "load", "-i", self.path("x.tar"))
        for kind in ("docker-archive", "oci-archive", "oci-dir"):
            self.succeed("podman", "save", "--format", kind, "-o", self.path(kind), NAME)
            other = self.path("store-" + kind)
            self.assertEqual(self.load(self.path(kind), root=other), f"Loaded image: {NAME}\n")
            self.assertEqual(self.inspect(NAME, root=other)["RootFS"], self.inspect(NAME)["RootFS"])

    def test_buildah(self):
        self.need("buildah")
        self.load(self.layout().folder, "--rename", NAME)
        self.ok("save", "-q", "-o", self.path("d.tar"), NAME)
        self.ok("save", "-q", "--format", "oci-archive", "-o", self.path("o.tar"), NAME)
        for source in ("docker-archive:" + self.path("d.tar"), "oci-archive:" + self.path("o.tar")):
            self.assertEqual("sha256:" + self.succeed("buildah", "pull", "-q", source).strip(), self.inspect(NAME)["Id"])


if __name__ == "__main__":
    program.main(("umoci", "skopeo"))
