"""Copies from and to archives, between all kinds of places, with skopeo and podman as judges."""
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
from program import run_tool

SHARED = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-places-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    site = registry.Registry(os.path.join(folder, "registry"))
    unittest.addModuleCleanup(site.stop)
    layout = images.Layout(os.path.join(folder, "layout"))
    here = [images.Layer([images.entry("here", images.noise(9 << 20, 7))]),
            images.Layer([images.entry("small", b"x")], "zstd")]
    there = [images.Layer([images.entry("there", images.noise(50000, 8))])]
    layout.multi({images.ARCHITECTURE: here, images.OTHER_ARCHITECTURE: there}, tag="multi")
    one = layout.image(here[:1], "one")
    layout.image(there, "other")
    SHARED.update(folder=folder, site=site, layout=layout, one=one["digest"])
    site.push(layout.folder, "one", "src/app", "1")
    site.push(layout.folder, "multi", "src/app", "multi", ["--all"])


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


def write_tar(path, files):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class PlacesCase(program.Case):
    def setUp(self):
        super().setUp()
        self.site, self.layout = SHARED["site"], SHARED["layout"]
        self.repository = "t/" + self.id().split(".")[-1].replace("_", "-")

    def raw(self, location):
        return images.digest_of(run_tool("skopeo", "inspect", "--raw", "--tls-verify=false", location))

    def archive(self, kind, number="", tag="one"):
        """An archive that this program did not write."""
        path = self.path(f"{kind}{number}-{tag}.tar")
        name = ":v1" if kind == "oci-archive" else ":example.test/team/app:1"
        run_tool("skopeo", "--insecure-policy", "copy", "-q", f"oci:{self.layout.folder}:{tag}", f"{kind}:{path}{name}")
        return path

    def layers(self, location):
        return json.loads(run_tool("skopeo", "inspect", "--config", "--tls-verify=false", location))["rootfs"]["diff_ids"]


class Pairs(PlacesCase):
    def sources(self):
        self.ok("load", "-q", "-i", self.layout.folder, "--name", "one", "--rename", "stored/app:1")
        return [f"docker://{self.site.name('src/app', '1')}", "store:stored/app:1", f"oci:{self.layout.folder}:one",
                f"oci-archive:{self.archive('oci-archive')}:v1"]

    def test_every_source_to_archives(self):
        want = self.layers(f"oci:{self.layout.folder}:one")
        for number, source in enumerate(self.sources()):
            with self.subTest(source=source):
                oci, docker = self.path(f"o{number}.tar"), self.path(f"d{number}.tar")
                self.ok("copy", "-q", source, f"oci-archive:{oci}:v2")
                self.assertEqual(self.raw(f"oci-archive:{oci}:v2"), SHARED["one"])
                run_tool("skopeo", "--insecure-policy", "copy", "-q", f"oci-archive:{oci}:v2", f"dir:{self.path(f'x{number}')}")
                self.ok("copy", "-q", source, f"docker-archive:{docker}:example.test/a/b:3")
                self.assertEqual(self.layers(f"docker-archive:{docker}"), want)
                listed = json.loads(members(docker)["manifest.json"])
                self.assertEqual([i["RepoTags"] for i in listed], [["example.test/a/b:3"]])
                self.assertNotIn(".tmp", str(os.listdir(self.dir)))

    def test_archives_to_every_place(self):
        paths = {kind: self.archive(kind) for kind in ("oci-archive", "docker-archive")}
        for kind, name in (("oci-archive", ":v1"), ("docker-archive", ":example.test/team/app:1"), ("docker-archive", "")):
            source = f"{kind}:{paths[kind]}{name}"
            with self.subTest(source=source):
                want = self.layers(f"oci:{self.layout.folder}:one")
                target = self.site.name(self.repository, f"{kind}{len(name)}")
                self.ok("copy", "-q", source, f"docker://{target}")
                self.assertEqual(self.layers(f"docker://{target}"), want)
                if kind == "oci-archive":
                    self.assertEqual(self.raw(f"docker://{target}"), SHARED["one"])
                self.ok("copy", "-q", source, "store:here/app:1")
                self.assertIn("here/app:1", self.names())
                self.assert_sound()
                self.ok("rm", "here/app:1")
                layout = self.path(f"layout-{kind}{len(name)}")
                self.ok("copy", "-q", source, f"oci:{layout}:5")
                self.assertEqual(self.layers(f"oci:{layout}:5"), want)

    def test_podman_reads_them(self):
        lack = program.lack_of(["podman"])
        if lack:
            self.skipTest(lack)
        root = ["--root", self.path("podman"), "--runroot", self.path("podman-run"), "--storage-driver", "vfs"]
        for kind in ("oci-archive", "docker-archive"):
            path = self.path(kind + ".tar")
            self.ok("copy", "-q", f"docker://{self.site.name('src/app', '1')}", f"{kind}:{path}:example.test/team/app:1"
                    if kind[0] == "d" else f"{kind}:{path}:v1")
            run_tool("podman", *root, "load", "-q", "-i", path)
        self.assertIn("example.test/team/app", run_tool("podman", *root, "images").decode())
        run_tool("podman", *root, "rmi", "-a", "-f")

    def test_same_bytes_as_save(self):
        self.ok("load", "-q", "-i", self.layout.folder, "--name", "multi", "--rename", "example.test/team/app:1")
        for kind, form in (("oci-archive", "oci-archive"), ("docker-archive", "docker-archive")):
            saved, copied = self.path("saved.tar"), self.path("copied.tar")
            self.ok("save", "-q", "--format", form, "-o", saved, "example.test/team/app:1")
            self.ok("copy", "-q", "store:example.test/team/app:1", f"{kind}:{copied}")
            with open(saved, "rb") as a, open(copied, "rb") as b:
                if kind == "docker-archive":
                    self.assertEqual(a.read(), b.read())
            self.assertEqual(sorted(members(saved)), sorted(members(copied)))

    def test_all_platforms(self):
        first, second = self.path("first.tar"), self.path("second.tar")
        source = f"docker://{self.site.name('src/app', 'multi')}"
        index = self.raw(source)  # what skopeo pushed: some releases write an index anew
        self.ok("copy", "-q", "-a", source, f"oci-archive:{first}:m")
        self.assertEqual(self.raw(f"oci-archive:{first}:m"), index)
        self.ok("copy", "-q", "-a", f"oci-archive:{first}:m", f"docker-archive:{second}:example.test/m:1")
        self.assertEqual(len(json.loads(members(second)["manifest.json"])), 2)
        name = self.site.name(self.repository)
        self.ok("copy", "-q", "-a", f"oci-archive:{first}:m", f"docker://{name}")
        self.assertEqual(self.raw(f"docker://{name}"), index)

    def test_dry_run_writes_nothing(self):
        path, source = self.path("plan.tar"), f"oci-archive:{self.archive('oci-archive')}"
        for origin in (source, f"docker://{self.site.name('src/app', '1')}"):
            out = self.ok("copy", "--dry-run", "--format", "json", origin, f"docker-archive:{path}:a/b:1")
            self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"to send"})
            self.assertFalse(os.path.exists(path))
        out = self.ok("copy", "--dry-run", "--format", "json", source, f"docker://{self.site.name('src/app', '1')}")
        self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"present"})

    def test_onto_itself(self):
        path = self.archive("oci-archive")
        self.ok("copy", "-q", f"oci-archive:{path}", f"oci-archive:{path}:v1")
        self.assertEqual(self.raw(f"oci-archive:{path}:v1"), SHARED["one"])

    def test_memory_is_bounded(self):
        if program.SANITIZED or program.lack_of(["/usr/bin/time"]):
            self.skipTest("memory is not measured here")
        for source in (f"docker://{self.site.name('src/app', '1')}", f"docker-archive:{self.archive('docker-archive')}"):
            result = self.imgstore("copy", "-q", source, f"oci-archive:{self.path('out.tar')}:1",
                                   before=["/usr/bin/time", "-f", "%M kB"])
            self.assertEqual(result.code, 0, str(result))
            self.assertLess(int(result.err.split()[-2]), 32 << 10)


class Unseekable(PlacesCase):
    """What cannot be read at any place: compressed as a whole, or a pipe."""

    def setUp(self):
        super().setUp()
        self.temp = self.path("temp")
        os.mkdir(self.temp)

    def packed(self, kind, how="gzip"):
        path = self.archive(kind, number=how)
        run_tool(how, "-q", "-1", path, *(["--rm"] if how == "zstd" else []))
        return path + {"gzip": ".gz", "zstd": ".zst"}[how]

    def copied(self, source, **options):
        name = self.site.name(self.repository)
        self.ok("copy", "-q", "--tmpdir", self.temp, source, f"docker://{name}", **options)
        self.assertEqual(self.layers(f"docker://{name}"), self.layers(f"oci:{self.layout.folder}:one"))
        self.assertEqual(os.listdir(self.temp), [])

    def test_compressed_as_a_whole(self):
        for kind in ("docker-archive", "oci-archive"):
            for how in ("gzip", "zstd"):
                with self.subTest(kind=kind, how=how):
                    self.copied(f"{kind}:{self.packed(kind, how)}")

    def test_to_every_place(self):
        source = f"docker-archive:{self.packed('docker-archive')}:example.test/team/app:1"
        want, target = self.layers(f"oci:{self.layout.folder}:one"), self.path("out.tar")
        self.ok("copy", "-q", source, "store:here/app:1")
        self.assert_sound()
        self.ok("copy", "-q", source, f"oci-archive:{target}:v1")
        self.assertEqual(self.layers(f"oci-archive:{target}:v1"), want)
        out = self.ok("copy", "--dry-run", "--format", "json", source, f"docker://{self.site.name(self.repository)}")
        self.assertEqual({json.loads(line)["action"] for line in out.splitlines()}, {"to send"})

    def test_pipes(self):
        for path in (self.archive("docker-archive"), self.packed("docker-archive")):
            with open(path, "rb") as f:
                data = f.read()
            pipe = self.path("pipe" + str(len(data)))
            os.mkfifo(pipe)
            writer = threading.Thread(target=lambda: open(pipe, "wb").write(data))
            writer.start()
            self.copied(f"docker-archive:{pipe}")
            writer.join()
            self.copied("docker-archive:/dev/stdin", data=data)

    def test_pipe_that_nobody_writes_to(self):
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        for command in (["copy", f"docker-archive:{pipe}", "store:x"], ["load", "-i", pipe], ["import", pipe, "x"]):
            with self.subTest(command=command):
                child = self.start(*command)
                time.sleep(0.5)
                self.assertIsNone(child.poll())
                child.send_signal(signal.SIGINT)
                self.assertEqual(child.wait(5), 130)

    def test_killed(self):
        path = self.packed("docker-archive")
        with open(path, "rb") as f:
            data = f.read()
        child = self.start("copy", "--tmpdir", self.temp, "docker-archive:/dev/stdin", "store:x", stdin=subprocess.PIPE)
        child.stdin.write(data[:len(data) // 2])
        child.stdin.flush()
        time.sleep(0.5)
        child.kill()
        child.wait()
        self.assertEqual(os.listdir(self.temp), [])

    def test_bad_folder(self):
        self.fails("copy", "--tmpdir", self.path("absent"), f"docker-archive:{self.packed('docker-archive')}", "store:x",
                   naming=[".tar.gz", "absent", "temporary"])

    def test_damaged(self):
        path = self.packed("docker-archive")
        with open(path, "r+b") as f:
            f.truncate(os.path.getsize(path) // 2)
        self.fails("copy", f"docker-archive:{path}", "store:x", naming=os.path.basename(path))

    def test_same_image_as_load(self):
        """Layers of Docker's older form that are compressed: their digest is found by reading them."""
        files = members(self.archive("docker-archive"))
        listed = json.loads(files["manifest.json"])
        for image in listed:
            for number, name in enumerate(image["Layers"]):
                data = files.pop(name)
                image["Layers"][number] = f"{number}/layer.tar"
                files[f"{number}/layer.tar"] = gzip.compress(data, 1)
        files["manifest.json"] = json.dumps(listed).encode()
        path, wrong = self.path("layers.tar"), self.path("wrong.tar")
        write_tar(path, files)
        self.ok("load", "-q", "-i", path)
        self.ok("copy", "-q", f"docker-archive:{path}", "store:copied/app:1")
        self.assertEqual(len({entry["digest"] for entry in self.index()}), 1)
        self.copied(f"docker-archive:{path}")
        files["0/layer.tar"] = gzip.compress(b"\0" * 10240)
        write_tar(wrong, files)
        self.fails("copy", f"docker-archive:{wrong}", "store:x", naming=["wrong.tar", "0/layer.tar", "the config says"])


class Names(PlacesCase):
    def test_colons_in_the_path_of_an_archive(self):
        for kind, name in (("oci-archive", "v7"), ("docker-archive", "example.test/a/b:7")):
            path = self.path(f"10:30-{kind}.tar")
            escaped = path.replace(":", "\\:")
            self.ok("copy", "-q", f"oci:{self.layout.folder}:one", f"{kind}:{escaped}:{name}")
            self.assertTrue(os.path.exists(path))
            self.ok("copy", "-q", f"{kind}:{escaped}:{name}", "store:here/app:1")
            self.ok("copy", "-q", f"{kind}:{escaped}", "store:here/app:2")
        self.fails("copy", f"docker-archive:{path}", "store:x", naming="cannot open")


class Refusals(PlacesCase):
    def refuse(self, path, *naming, kind="oci-archive"):
        """To each kind of place, and nothing is left of it."""
        target = self.path("target.tar")
        for to in (f"docker://{self.site.name(self.repository)}", "store:x/y:1", f"oci-archive:{target}:1"):
            self.fails("copy", f"{kind}:{path}", to, naming=[os.path.basename(path), *naming])
        self.assertFalse(os.path.exists(target))
        self.assertNotIn(".imgstore-", str(os.listdir(self.dir)))
        self.assertNotIn(f"/{self.repository}/manifests/", str([r for r in self.site.requests() if r[0] == "PUT"]))

    def test_damaged_blob(self):
        files = members(self.archive("oci-archive"))
        layer = max(files, key=lambda name: len(files[name]))
        files[layer] = files[layer][:-3] + bytes([files[layer][-3] ^ 1]) + files[layer][-2:]
        path = self.path("damaged.tar")
        write_tar(path, files)
        self.refuse(path, layer)

    def test_damaged_layer_of_the_older_form(self):
        files = members(self.archive("docker-archive"))
        layer = max(files, key=lambda name: len(files[name]))
        files[layer] = files[layer][:2000] + bytes([files[layer][2000] ^ 1]) + files[layer][2001:]
        path = self.path("damaged.tar")
        write_tar(path, files)
        self.refuse(path, layer, kind="docker-archive")

    def test_missing_blob(self):
        files = members(self.archive("oci-archive"))
        layer = max(files, key=lambda name: len(files[name]))
        del files[layer]
        path = self.path("missing.tar")
        write_tar(path, files)
        self.refuse(path, layer.rsplit("/", 1)[1])

    def test_contradiction(self):
        files = members(self.archive("oci-archive"))
        other = members(self.archive("docker-archive", tag="other"))
        files.update(other)
        path = self.path("two.tar")
        write_tar(path, files)
        self.refuse(path, "index.json has no image of this config and layers")

    def test_odd_archives(self):
        good = self.archive("oci-archive")
        with open(good, "rb") as f:
            data = f.read()
        cut, twice, climbing, nothing = (self.path(n + ".tar") for n in ("cut", "twice", "climbing", "nothing"))
        with open(cut, "wb") as f:
            f.write(data[:len(data) // 2])
        self.refuse(cut, "ends inside")
        files = members(good)
        with tarfile.open(twice, "w") as tar:
            for name in list(files) + ["index.json"]:
                info = tarfile.TarInfo(name)
                info.size = len(files[name])
                tar.addfile(info, io.BytesIO(files[name]))
        self.refuse(twice, "index.json", "twice")
        write_tar(climbing, {**files, "../out": b"x"})
        self.refuse(climbing, "leads out")
        write_tar(nothing, {"readme": b"x"})
        self.refuse(nothing, "no archive of images")
        self.refuse(self.path("absent.tar"), "cannot open")

    def test_ambiguous(self):
        path = self.path("two.tar")
        self.ok("load", "-q", "-i", self.layout.folder)
        self.ok("save", "-q", "-a", "--format", "oci-archive", "-o", path, *self.names())
        self.fails("copy", f"oci-archive:{path}", "store:x", naming="3 images")
        self.ok("copy", "-q", f"oci-archive:{path}:one", f"docker://{self.site.name(self.repository)}")
        self.assertEqual(self.raw(f"docker://{self.site.name(self.repository)}"), SHARED["one"])
        self.fails("copy", f"oci-archive:{path}:nine", "store:x", naming="nine")

    def test_source_that_lies(self):
        site = registry.StaticRegistry()
        self.addCleanup(site.stop)
        layout = images.simple(self.path("lies"), 1, size=400000)
        site.serve_layout(layout)
        layer = max(layout.digests(), key=lambda d: len(layout.read(d)))
        data = bytearray(layout.read(layer))
        data[-5] ^= 1
        site.answers[f"blobs/{layer}"] = ("application/octet-stream", bytes(data))
        before = set(os.listdir(self.dir))
        target = self.path("lie.tar")
        self.fails("copy", "--retries", 1, f"docker://{site.host}/a/b:latest", f"oci-archive:{target}:1", naming=layer)
        self.assertEqual(set(os.listdir(self.dir)), before)


if __name__ == "__main__":
    program.main(["docker-registry", "skopeo"])
