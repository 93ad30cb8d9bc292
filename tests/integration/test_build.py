"""Images that are built: judged by skopeo, umoci and crun; squashed ones unpack to the same tree as before."""
import gzip
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import trees
from images import ARCHITECTURE, entry, hardlink, link, noise, tar_of
from program import IS_ROOT, run_tool

EPOCH = "1700000000"
SAME = ("--timestamp", EPOCH)


def skopeo(*arguments):
    return run_tool("skopeo", "--insecure-policy", *arguments)


class Builder(program.Case):
    def build(self, *arguments, **more):
        """Returns what --json says."""
        return json.loads(self.ok("build", "-q", "--json", *arguments, **more))

    def config(self, name):
        return json.loads(self.ok("inspect", "--raw", "config", name))

    def manifest(self, name):
        return json.loads(self.ok("inspect", "--raw", "manifest", name))

    def tar(self, name, entries):
        return self.write(name, tar_of(entries))

    def unpacked(self, name, folder):
        self.ok("unpack", "-q", name, self.path(folder))
        return self.path(folder)

    def assert_same_tree(self, one, other, **what):
        self.assertEqual(trees.differences(one, other, **what), [])


def make_tree(folder):
    """A directory with what a layer can have, as far as this user can make it."""
    os.makedirs(os.path.join(folder, "sub", "deep" * 30, "x" * 120))
    for name, mode in (("a", 0o644), ("run", 0o755), ("sub/secret", 0o600)):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(name * 1000)
        os.chmod(os.path.join(folder, name), mode)
    os.link(os.path.join(folder, "a"), os.path.join(folder, "sub", "hard"))
    os.symlink("../a", os.path.join(folder, "sub", "soft"))
    os.symlink("/nowhere", os.path.join(folder, "dangling"))
    os.mkfifo(os.path.join(folder, "pipe"))
    with open(os.path.join(folder, "sparse"), "wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    with open(os.path.join(folder, "\udcff\udcfe name"), "wb") as file:
        file.write(b"not UTF-8")
    if IS_ROOT:
        os.chown(os.path.join(folder, "run"), 12345, 3000000)
        os.mknod(os.path.join(folder, "device"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.setxattr(os.path.join(folder, "a"), "user.key", b"\0value\xff")


# --- layers ---


class Layers(Builder):
    def test_directory(self):
        make_tree(self.path("tree"))
        self.build("--add-dir", self.path("tree"), *SAME, "-t", "made")
        out = self.unpacked("made", "out")
        for folder in (out, self.path("tree")):
            os.chmod(folder, 0o755)
        self.assert_same_tree(self.path("tree"), out, times=False)
        run_tool("umoci", "unpack", *images.ROOTLESS, "--image", f"{self.root}:latest", self.path("bundle"))
        os.chmod(self.path("bundle", "rootfs"), 0o755)
        self.assert_same_tree(out, self.path("bundle", "rootfs"), times=False)
        self.assert_sound()

    def test_directory_below_a_prefix(self):
        make_tree(self.path("tree"))
        self.build("--add-dir", self.path("tree") + ":/opt/app/", "--root-owned", *SAME, "-t", "made")
        out = self.unpacked("made", "out")
        self.assert_same_tree(self.path("tree"), out + "/opt/app", times=False, owners=False)
        self.assertEqual(os.lstat(out + "/opt/app/run").st_uid, os.geteuid())
        for prefix in ("/../x", "/a/../../b", "/.wh.x"):
            self.fails("build", "-q", "--add-dir", self.path("tree") + ":" + prefix, naming="not a path")

    def test_tars_of_every_compression(self):
        tar = tar_of([entry("d/"), entry("d/f", noise(300000))])
        packed = {"plain": tar, "gz": gzip.compress(tar), "zst": images.zstd_of(tar)}
        ids = set()
        for name, data in packed.items():
            for compression in ("gzip", "fast", "zstd", "none"):
                made = self.build("--add-tar", self.write(name, data), "--compression", compression, *SAME, "-t",
                                  f"{name}:{compression}")
                ids.add(made["id"])
                self.assertEqual(made["layers"], 1)
            self.assertEqual(self.build("--add-tar", "-", *SAME, data=data)["id"], made["id"])
        self.assertEqual(len(ids), 1)  # the uncompressed bytes are what an image ID says
        types = {self.manifest(f"plain:{c}")["layers"][0]["mediaType"] for c in ("gzip", "fast", "zstd", "none")}
        self.assertEqual(types, {images.OCI_TAR + end for end in ("", "+gzip", "+zstd")})
        self.assert_sound()

    def test_a_blob_as_it_is(self):
        data = gzip.compress(tar_of([entry("f", b"x")]), 3) + gzip.compress(b"", 9)
        self.build("--add-tar", self.write("l.tgz", data), "--as-is", *SAME, "-t", "kept")
        layer = self.manifest("kept")["layers"][0]
        self.assertEqual((layer["digest"], layer["size"]), (images.digest_of(data), len(data)))
        self.assertEqual(self.config("kept")["rootfs"]["diff_ids"], [images.digest_of(gzip.decompress(data))])
        self.fails("build", "-q", "--add-tar", self.write("empty", b""), "--as-is", naming="is empty")

    def test_a_pipe(self):
        """Also one that nobody writes to for a while."""
        pipe, path = self.path("pipe"), self.tar("layer.tar", [entry("a", b"x")])
        os.mkfifo(pipe)
        child = self.start("build", "-q", "--timestamp", 0, "--add-tar", pipe)
        time.sleep(0.3)
        self.assertIsNone(child.poll())
        with open(pipe, "wb") as out, open(path, "rb") as data:
            out.write(data.read())
        self.assertEqual(child.wait(10), 0)
        self.assertEqual(child.stdout.read().decode(), self.ok("build", "-q", "--timestamp", 0, "--add-tar", path))
        child = self.start("build", "--add-tar", pipe)
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(5), 130)

    def test_an_empty_tar(self):
        self.build("--add-tar", self.write("empty", b""), *SAME, "-t", "empty")
        self.assertEqual(self.config("empty")["rootfs"]["diff_ids"], [images.digest_of(bytes(1024))])

    def test_times_are_clamped(self):
        late, early = int(EPOCH) + 5000, int(EPOCH) - 5000
        tar = self.tar("t.tar", [entry("late", b"1", mtime=late), entry("early", b"2", mtime=early)])
        os.mkdir(self.path("tree"))
        self.write("tree/new", b"3")
        self.build("--add-tar", tar, "--add-dir", self.path("tree"), *SAME, "-t", "made")
        out = self.unpacked("made", "out")
        times = {name: int(os.lstat(os.path.join(out, name)).st_mtime) for name in ("late", "early", "new")}
        self.assertEqual(times, {"late": int(EPOCH), "early": early, "new": int(EPOCH)})
        self.assertEqual(self.config("made")["created"], "2023-11-14T22:13:20Z")
        self.build("--add-tar", tar, "-t", "free", env={"SOURCE_DATE_EPOCH": ""})
        self.assertEqual(int(os.lstat(os.path.join(self.unpacked("free", "free"), "late")).st_mtime), late)
        again = self.build("--add-tar", tar, "--add-dir", self.path("tree"), env={"SOURCE_DATE_EPOCH": EPOCH})
        self.assertEqual(again["digest"], self.build("--from", "made", *SAME)["digest"])

    def test_same_bytes_again(self):
        make_tree(self.path("tree"))
        for compression in ("gzip", "fast", "zstd", "none"):
            seen = set()
            for workers in (0, 1, 4):
                for turn in range(2):
                    shutil.rmtree(self.root, ignore_errors=True)
                    made = self.build("--workers", workers, "--add-dir", self.path("tree"), "--env", "A=1", "--label",
                                      "b=2", "--label", "a=1", "--compression", compression, *SAME)
                    seen.add(made["digest"])
            self.assertEqual(len(seen), 1, compression)


class Hostile(Builder):
    def refused(self, data, naming, *options):
        self.fails("build", "-q", "--add-tar", self.write("bad.tar", data), *options, "-t", "bad", naming=naming)
        self.assertEqual(self.names(), [])

    def test_tars_that_lie(self):
        good = tar_of([entry("f", b"x" * 3000)])
        self.build("--add-tar", self.write("good", good), "-t", "there")
        self.ok("rm", "there")
        for options in ((), ("--as-is",), SAME):
            self.refused(b"not a tar at all" * 100, "bad.tar", *options)
            self.refused(good[:1500], "bad.tar", *options)
            self.refused(good[:600] + b"\xff" * 20 + good[620:][:0], "bad.tar", *options)
            self.refused(gzip.compress(good)[:-9], "bad.tar", *options)
            self.refused(gzip.compress(good) + b"junk", "bad.tar", *options)
            self.refused(tar_of([entry("a/.wh.")]), r"bad.tar", *options)
            self.refused(tar_of([entry("d/.wh...", b"")]), "bad.tar", *options)
            broken = bytearray(good)
            broken[148:156] = b"000000\0 "
            self.refused(bytes(broken), "checksum", *options)

    def test_files_that_are_not_there(self):
        self.fails("build", "-q", "--add-tar", self.path("none"), naming="none")
        self.fails("build", "-q", "--add-tar", self.dir, naming="directory")
        self.fails("build", "-q", "--add-dir", self.path("none"), naming="none")
        self.fails("build", "-q", "--from", "none", naming="none")

    def test_values(self):
        bad = [("--env", "=x"), ("--env", "A B=1"), ("--env", b"A=\xff"), ("--label", "=v"), ("--label", b"\xfe=v"),
               ("--label", b"k=\xfe"), ("--port", "http"), ("--port", "70000"), ("--volume", "data"),
               ("--workdir", "rel"), ("--stop-signal", "9x"), ("--created", "now"), ("--user", "a\nb"),
               ("--annotation", "=v"), ("--platform", "a/b/c/d"), ("--author", "\x1b[31m"), ("--cmd", b"\xff"),
               ("--history", b"\xff")]
        for option, value in bad:
            name = value if isinstance(value, str) else os.fsdecode(value)
            result = self.imgstore("build", "-q", option, name, "-t", "bad")
            self.assertEqual(result.code, 1, str(result))
        self.assertEqual(self.names(), [])
        for option, value in (("--compression", "xz"), ("--level", "x"), ("--timestamp", "soon"), ("--format", "x"),
                              ("--rebase", "old")):
            self.assertEqual(self.imgstore("build", "-q", option, value).code, 2)
        self.fails("build", "-q", "-t", "x@sha256:" + "0" * 64, naming="digest")
        self.fails("build", "-q", "-t", "UPPER", naming="UPPER")
        self.fails("build", "-q", "--annotation", "a=b", "--format", "docker", naming="annotations")

    def test_a_broken_base(self):
        layout = images.simple(self.path("layout"))
        self.ok("load", "-q", "-i", layout.folder, "--rename", "base")
        layer = self.manifest("base")["layers"][0]["digest"].split(":")[1]
        blob = os.path.join(self.root, "blobs", "sha256", layer)
        with open(blob, "r+b") as file:
            file.seek(20)
            file.write(b"\0\0\0\0\0\0\0\0")
        self.fails("build", "-q", "--from", "base", "--squash", "-t", "flat", naming=layer)
        os.unlink(blob)
        self.fails("build", "-q", "--from", "base", "-t", "more", naming=layer)


# --- config ---


class Config(Builder):
    def test_everything(self):
        tar = self.tar("t.tar", [entry("f", b"x")])
        self.build("--add-tar", tar, "--entrypoint", '["/bin/x", "a b", "\\""]', "--cmd", "one two", "--env", "A=1",
                   "--env", "B=2=3", "--env", "C=", "--label", "k=v", "--label", "empty=", "--annotation", "n=1",
                   "--user", "1:2", "--port", "80/tcp", "--port", "53/udp", "--volume", "/data", "--workdir", "/w",
                   "--stop-signal", "SIGINT", "--platform", "linux/arm64", "--author", "me", "--comment", "text",
                   "--history", "what", "--created", "2024-01-02T03:04:05Z", "-t", "made")
        config = self.config("made")
        self.assertEqual(config["config"], {
            "Entrypoint": ["/bin/x", "a b", '"'], "Cmd": ["one", "two"], "Env": ["A=1", "B=2=3", "C="],
            "Labels": {"k": "v", "empty": ""}, "User": "1:2", "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}}, "WorkingDir": "/w", "StopSignal": "SIGINT"})
        self.assertEqual((config["os"], config["architecture"], config["variant"]), ("linux", "arm64", "v8"))
        self.assertEqual((config["author"], config["comment"], config["created"]), ("me", "text", "2024-01-02T03:04:05Z"))
        self.assertEqual(config["history"], [{"created": "2024-01-02T03:04:05Z", "author": "me", "created_by": "what"}])
        self.assertEqual(self.manifest("made")["annotations"], {"n": "1"})
        seen = json.loads(skopeo("inspect", f"oci:{self.root}:latest"))
        self.assertEqual((seen["Architecture"], seen["Env"], seen["Labels"]["k"]), ("arm64", ["A=1", "B=2=3", "C="], "v"))
        skopeo("copy", "-q", f"oci:{self.root}:latest", f"dir:{self.path('copy')}")

    def test_changes_of_a_base(self):
        layout = images.Layout(self.path("layout"))
        layout.image([images.Layer([entry("f", b"x")])], config={
            "x.vendor": {"a": [1.50]}, "config": {"Cmd": ["sh"], "Env": ["PATH=/bin", "A=1"], "Future": True,
                                                  "Labels": {"keep": "1", "drop": "2"}, "ExposedPorts": {"1/tcp": {}}}},
                     manifest={"annotations": {"from": "base"}})
        self.ok("load", "-q", "-i", layout.folder, "--rename", "base")
        self.build("--from", "base", "--env", "A=2", "--env", "PATH", "--env", "B=3", "--label", "drop", "--label",
                   "new=3", "--port", "-1/tcp", "--port", "2/tcp", "--entrypoint", "run", *SAME, "-t", "made")
        config = self.config("made")
        self.assertEqual(config["config"], {"Env": ["A=2", "B=3"], "Future": True, "Labels": {"keep": "1", "new": "3"},
                                            "ExposedPorts": {"2/tcp": {}}, "Entrypoint": ["run"]})
        self.assertEqual(config["x.vendor"], {"a": [1.5]})
        self.assertEqual(self.manifest("made")["annotations"], {"from": "base"})
        self.assertEqual(len(config["history"]), 1)
        self.assertEqual(self.manifest("made")["layers"], self.manifest("base")["layers"])

    def test_docker_format(self):
        layout = images.simple(self.path("layout"), count=1)
        self.ok("load", "-q", "-i", layout.folder, "--rename", "base")
        self.build("--from", "base", "--add-tar", self.tar("t.tar", [entry("g", b"x")]), "--format", "docker", "-t", "made")
        manifest = self.manifest("made")
        self.assertEqual(manifest["mediaType"], images.DOCKER_MANIFEST)
        self.assertEqual({layer["mediaType"] for layer in manifest["layers"]},
                         {"application/vnd.docker.image.rootfs.diff.tar.gzip"})
        skopeo("copy", "-q", f"oci:{self.root}:latest", f"docker-archive:{self.path('archive.tar')}")

    def test_history_that_is_missing(self):
        layout = images.Layout(self.path("layout"))
        layers = [images.Layer([entry(f"f{i}", b"x")]) for i in range(2)]
        layout.image(layers, "none", config={"history": None})
        layout.image(layers, "wrong", config={"history": [{"created_by": "one"}]})
        self.ok("load", "-q", "-i", layout.folder, "--name", "none", "--rename", "none")
        self.ok("load", "-q", "-i", layout.folder, "--name", "wrong", "--rename", "wrong")
        for name in ("none", "wrong"):
            self.build("--from", name, "--add-tar", self.tar("t.tar", [entry("g", b"x")]), "-t", "made")
            history = self.config("made")["history"]
            self.assertEqual(len([h for h in history if not h.get("empty_layer")]), 3, history)

    @unittest.skipUnless(shutil.which("crun") and IS_ROOT, "needs crun and root")
    def test_it_runs(self):
        os.makedirs(self.path("tree", "bin"))
        shutil.copy(shutil.which("busybox"), self.path("tree", "bin", "busybox"))
        os.chmod(self.path("tree"), 0o755)
        self.build("--add-dir", self.path("tree"), "--entrypoint", "/bin/busybox", "--cmd", "echo works", "-t", "made")
        run_tool("umoci", "unpack", "--image", f"{self.root}:latest", self.path("bundle"))
        spec_path = self.path("bundle", "config.json")
        with open(spec_path, encoding="utf-8") as file:
            spec = json.load(file)
        spec["process"]["terminal"] = False
        with open(spec_path, "w", encoding="utf-8") as file:
            json.dump(spec, file)
        done = subprocess.run(["crun", "--cgroup-manager=disabled", "run", "-b", self.path("bundle"), f"imgstore-build-{os.getpid()}"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=60)
        if done.returncode and b"cgroup" in done.stderr:
            self.skipTest(done.stderr.decode())
        self.assertEqual(done.stdout, b"works\n", done.stderr)


# --- squash ---


class World:
    """Makes layers at random that can be applied on each other."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.files = {}  # what is there: path -> kind

    def below(self, path):
        return [p for p in self.files if p == path or p.startswith(path + "/")]

    def folders(self):
        return [""] + [p for p, kind in self.files.items() if kind == "d"]

    def remove(self, path):
        for gone in self.below(path):
            del self.files[gone]

    def name(self):
        return self.random.choice("abcdef")

    def add(self, entries, made):
        parent = self.random.choice(self.folders())
        path = f"{parent}/{self.name()}".lstrip("/")
        kind = self.random.choice("dddfffflh")
        if path in made or any(p in made for p in self.below(path)) or path.count("/") > 4:
            return
        mode, owner = self.random.choice((0o755, 0o700, 0o1777)), self.random.choice((0, 0, 1000))
        if kind == "d":
            if self.files.get(path) not in (None, "d"):
                self.remove(path)
            entries.append(entry(path + "/", mode=mode, uid=owner))
            self.files[path] = "d"
        elif kind == "h":
            targets = [p for p, k in self.files.items() if k == "f" and p != path and not p.startswith(path + "/")]
            if not targets:
                return
            entries.append(hardlink(path, self.random.choice(targets)))
            self.remove(path)
            self.files[path] = "f"
        else:
            self.remove(path)
            data = noise(self.random.choice((0, 10, 600, 70000)), self.random.random())
            attributes = {"user.k": "v"} if self.random.random() < 0.2 and IS_ROOT else None
            entries.append(link(path, "target" + self.name()) if kind == "l"
                           else entry(path, data, mode=mode & 0o777, uid=owner, xattrs=attributes))
            self.files[path] = kind
        made.add(path)

    def hide(self, entries, made):
        paths = [p for p in self.files if p not in made and not any(q in made for q in self.below(p))]
        if not paths:
            return
        path = self.random.choice(paths)
        if self.files[path] == "d" and self.random.random() < 0.4:
            entries.append(entry(path + "/.wh..wh..opq"))
            for gone in self.below(path)[1:] if self.below(path)[0] == path else self.below(path):
                if gone != path:
                    self.files.pop(gone, None)
            made.add(path)  # what is made in it later is in another layer
        else:
            folder, _, name = path.rpartition("/")
            entries.append(entry(f"{folder}/.wh.{name}".lstrip("/")))
            self.remove(path)

    def layer(self):
        entries, made = [], set()
        for _ in range(self.random.randint(3, 14)):
            if self.random.random() < 0.3:
                self.hide(entries, made)
            else:
                self.add(entries, made)
        return tar_of(entries)


class Squash(Builder):
    def layered(self, name, tars):
        options = []
        for i, tar in enumerate(tars):
            options += ["--add-tar", self.write(f"{name}.{i}.tar", tar)]
        self.build(*options, "--compression", "none", *SAME, "-t", name)

    def judge(self, name, count, start):
        """Squashed from start on, the tree is what it was, for us and for umoci."""
        self.build("--from", name, "--squash-from", start, *SAME, "-t", name + ":flat")
        flat = self.manifest(name + ":flat")["layers"]
        self.assertEqual(len(flat), min(count, start + 1))
        history = self.config(name + ":flat")["history"]
        self.assertEqual(len([h for h in history if not h.get("empty_layer")]), len(flat))
        one, other = self.unpacked(name, f"{name}.{start}.one"), self.unpacked(name + ":flat", f"{name}.{start}.other")
        self.assert_same_tree(one, other, times=False)

    def test_random_layers(self):
        for seed in range(int(os.environ.get("SQUASH_SEEDS", "30"))):
            world = World(seed)
            count = world.random.randint(2, 5)
            self.layered(f"w{seed}", [world.layer() for _ in range(count)])
            with self.subTest(seed=seed):
                self.judge(f"w{seed}", count, 0)
                self.judge(f"w{seed}", count, world.random.randint(1, count - 1))
        self.assert_sound()

    def test_what_is_hidden_below(self):
        base = tar_of([entry("keep", b"1"), entry("gone", b"2"), entry("d/"), entry("d/x", b"3"), entry("d/y", b"4"),
                       entry("e/"), entry("e/f/"), entry("e/f/g", b"5"), entry("file-then-dir", b"6")])
        upper = [tar_of([entry(".wh.gone"), entry("new", b"7"), entry("d/.wh.x"), entry(".wh.e")]),
                 tar_of([entry("e/"), entry("e/h", b"8"), entry(".wh.new"), entry("file-then-dir/"),
                         entry("file-then-dir/i", b"9"), entry("never/"), entry(".wh.never-there")])]
        self.layered("h", [base, *upper])
        self.judge("h", 3, 1)
        layer = self.manifest("h:flat")["layers"][1]["digest"].split(":")[1]
        with open(os.path.join(self.root, "blobs", "sha256", layer), "rb") as file:
            names = run_tool("tar", "-tz", "-f", file.name).decode().split()
        self.assertEqual(names, [".wh.gone", "d/.wh.x", "e/", "e/.wh..wh..opq", "file-then-dir/", "never/", "e/h",
                                 "file-then-dir/i"])

    def test_links_to_files_below(self):
        base = tar_of([entry("a", b"one"), entry("b", b"two")])
        upper = [tar_of([hardlink("c", "a"), hardlink("d", "b")]), tar_of([entry(".wh.a"), hardlink("e", "d")])]
        self.layered("l", [base, *upper])
        self.judge("l", 3, 1)
        self.judge("l", 3, 0)

    def test_sparse_files_and_attributes(self):
        make_tree(self.path("tree"))
        self.build("--add-dir", self.path("tree"), "--add-tar", self.tar("t.tar", [entry("more", b"x")]), *SAME, "-t", "s")
        self.judge("s", 2, 0)
        size = self.manifest("s:flat")["layers"][0]["size"]
        self.assertLess(size, 200000)
        if IS_ROOT:
            self.assertEqual(os.getxattr(self.path("s.0.other", "a"), "user.key"), b"\0value\xff")
        self.assertLess(os.lstat(self.path("s.0.other", "sparse")).st_blocks * 512, 8 << 20)

    def test_same_bytes_again(self):
        world = World(99)
        self.layered("w", [world.layer() for _ in range(4)])
        seen = {self.build("--workers", workers, "--from", "w", "--squash", *SAME)["digest"] for workers in (0, 1, 4)}
        self.assertEqual(len(seen), 1)


# --- rebase ---


class Rebase(Builder):
    def setUp(self):
        super().setUp()
        for version in (1, 2):
            self.build("--add-tar", self.tar("b.tar", [entry("version", str(version).encode())]), "--env", "PATH=/bin",
                       "--env", f"BASE={version}", "--label", f"base={version}", "--cmd", f"sh{version}", "--user",
                       f"u{version}", "--history", f"base {version}", *SAME, "-t", f"base:{version}")
        self.build("--from", "base:1", "--add-tar", self.tar("a.tar", [entry("app", b"x")]), "--env", "APP=1", "--env",
                   "PATH=/app", "--label", "app=1", "--user", "me", "--history", "app", *SAME, "-t", "app:1")

    def test_rebase(self):
        self.build("--from", "app:1", "--rebase", "base:1", "--onto", "base:2", *SAME, "-t", "app:2")
        old, new, base = self.manifest("app:1"), self.manifest("app:2"), self.manifest("base:2")
        self.assertEqual(new["layers"], [base["layers"][0], old["layers"][1]])
        config = self.config("app:2")
        self.assertEqual(config["config"]["Env"], ["PATH=/app", "BASE=2", "APP=1"])
        self.assertEqual(config["config"]["Labels"], {"base": "2", "app": "1"})
        self.assertEqual((config["config"]["Cmd"], config["config"]["User"]), (["sh2"], "me"))
        self.assertEqual([h["created_by"] for h in config["history"]], ["base 2", "app"])
        out = self.unpacked("app:2", "out")
        self.assertEqual(open(os.path.join(out, "version"), encoding="ascii").read(), "2")

    def test_not_its_base(self):
        self.fails("build", "-q", "--from", "app:1", "--rebase", "base:2", "--onto", "base:1", naming="rebase: layer 0")
        self.fails("build", "-q", "--from", "base:1", "--rebase", "app:1", "--onto", "base:2", naming="rebase")
        self.fails("build", "-q", "--rebase", "base:1", "--onto", "base:2", naming="from scratch")
        self.build("--platform", "linux/s390x", "-t", "other")
        self.fails("build", "-q", "--from", "app:1", "--rebase", "base:1", "--onto", "other", naming="s390x")


# --- indexes ---


class Indexes(Builder):
    def test_index(self):
        for arch in ("amd64", "arm64"):
            self.build("--platform", f"linux/{arch}", "--label", f"for={arch}", *SAME, "-t", f"app:{arch}")
        digest = self.ok("index", "create", "multi", "app:amd64", "app:arm64").strip()
        raw = json.loads(skopeo("inspect", "--raw", f"oci:{self.root}:latest"))
        self.assertEqual([e["platform"]["architecture"] for e in raw["manifests"]], ["amd64", "arm64"])
        skopeo("copy", "-q", "--all", f"oci:{self.root}:latest", f"oci:{self.path('copy')}:x")
        for arch in ("amd64", "arm64"):
            seen = json.loads(skopeo("--override-arch", arch, "inspect", f"oci:{self.path('copy')}:x"))
            self.assertEqual(seen["Labels"], {"for": arch})
        self.assertNotEqual(self.ok("index", "annotate", "multi", "a=b").strip(), digest)
        self.ok("index", "annotate", "multi", "a")
        self.assertEqual(self.ok("index", "annotate", "multi", "a").strip(), digest)
        self.fails("index", "add", "multi", "app:amd64", naming="already")
        self.ok("index", "add", "--replace", "multi", "app:amd64")
        made = json.loads(self.ok("index", "rm", "--json", "multi", "linux/arm64"))
        self.assertEqual(made["entries"], 1)
        self.fails("index", "rm", "multi", "linux/arm64", naming="no entry")
        self.fails("index", "add", "app:amd64", "app:arm64", naming="is not an index")
        self.assert_sound()


# --- artifacts ---


class Artifacts(Builder):
    TYPE = "application/vnd.example+json"

    def stored(self):
        """The only manifest that the store names."""
        entry, = self.index()
        with open(os.path.join(self.root, "blobs", "sha256", entry["digest"][7:]), encoding="utf-8") as file:
            return json.load(file)

    def test_there_and_back(self):
        self.write("model.bin", noise(3000000))
        self.write("conf.json", b"{}")
        self.write("empty", b"")
        arguments = ("artifact", "create", "--json", "--artifact-type", self.TYPE, "--annotation", "k=v", "bundle:1",
                     self.path("model.bin"), self.path("conf.json") + ":application/json", self.path("empty"))
        made = json.loads(self.ok(*arguments))
        self.assertEqual(json.loads(self.ok("--workers", "0", *arguments))["digest"], made["digest"])
        manifest = self.stored()
        self.assertEqual((manifest["artifactType"], manifest["annotations"]), (self.TYPE, {"k": "v"}))
        self.assertEqual([layer["mediaType"] for layer in manifest["layers"]],
                         ["application/octet-stream", "application/json", "application/octet-stream"])
        os.mkdir(self.path("out"))
        self.assertIn("<none>", self.ok("ls", "bundle"))  # no image, but it has its place
        self.ok("artifact", "unpack", "bundle:1", self.path("out"))
        for name in ("model.bin", "conf.json", "empty"):
            with open(self.path(name), "rb") as one, open(self.path("out", name), "rb") as other:
                self.assertEqual(one.read(), other.read())
        self.assertEqual(len(os.listdir(self.path("out"))), 3)
        self.fails("artifact", "unpack", "bundle:1", self.path("out"), naming="there already")
        skopeo("copy", "-q", f"oci:{self.root}:1", f"oci:{self.path('copy')}:x")
        self.assert_sound()
        self.ok("prune")
        self.assert_sound()

    def test_titles_of_strangers(self):
        for titles in (["../x"], ["/etc/x"], [".."], ["."], [""], ["a/b"], ["same", "same"], ["x\n"], ["t" * 300]):
            folder = self.path(f"layout{len(os.listdir(self.dir))}")
            layout = images.Layout(folder)
            config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
            layers = [layout.blob(b"data%d" % i, "text/plain", annotations={"org.opencontainers.image.title": title})
                      for i, title in enumerate(["good", *titles])]
            layout.add(layout.blob({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "artifactType": self.TYPE,
                                    "config": config, "layers": layers}, images.OCI_MANIFEST), "bad")
            self.ok("load", "-q", "-i", folder, "--rename", "bad")
            out = folder + ".out"
            os.mkdir(out)
            self.fails("artifact", "unpack", "bad", out, naming="title")
            self.assertEqual(os.listdir(out), [])

    def test_nothing_is_written_over_or_followed(self):
        self.write("f", b"new")
        self.ok("artifact", "create", "--artifact-type", self.TYPE, "bundle", self.path("f"))
        os.mkdir(self.path("out"))
        os.symlink(self.path("victim"), self.path("out", "f"))
        self.fails("artifact", "unpack", "bundle", self.path("out"), naming="f: is there already")
        self.assertFalse(os.path.exists(self.path("victim")))
        os.unlink(self.path("out", "f"))
        blob = os.path.join(self.root, "blobs", "sha256", self.stored()["layers"][0]["digest"][7:])
        with open(blob, "r+b") as file:
            file.write(b"bad")
        self.fails("artifact", "unpack", "bundle", self.path("out"), naming="blob")
        self.assertEqual(os.listdir(self.path("out")), [])

    def test_what_cannot_be_added(self):
        self.write("f", b"x")
        create = ("artifact", "create", "--artifact-type")
        self.fails(*create, "no type", "a", self.path("f"), naming="artifact type")
        self.fails(*create, self.TYPE, "a", self.dir, naming="regular file")
        self.fails(*create, self.TYPE, "a", self.path("none"), naming="none")
        self.fails(*create, self.TYPE, "a", self.path("f"), self.path("f"), naming="twice")
        self.fails(*create, self.TYPE, "UPPER", self.path("f"), naming="UPPER")
        self.assertEqual(self.names(), [])


# --- interruption ---


class Killed(Builder):
    def test_kill_at_any_time(self):
        os.mkdir(self.path("tree"))
        for i in range(40):
            self.write(f"tree/f{i}", noise(300000, i))
        self.build("-t", "before")
        for turn in range(8):
            process = self.start("build", "-q", "--add-dir", self.path("tree"), "-t", "made")
            time.sleep(0.02 + 0.05 * turn)
            process.kill()
            process.wait()
            self.assert_sound()
            if "made:latest" in self.names():
                self.unpacked("made", f"out{turn}")
                self.ok("rm", "made")
        self.assertEqual(self.names(), ["before:latest"])
        self.ok("prune")
        self.assertEqual(len(self.blobs()), 2)
        self.assert_clean()


if __name__ == "__main__":
    program.main(["skopeo", "umoci", "busybox", "zstd", "tar"])
