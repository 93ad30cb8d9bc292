"""Other tools read our store and we read their layouts; unpacked trees are compared with umoci's, entry by entry."""
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
import trees
from images import ARCHITECTURE, OTHER_ARCHITECTURE, Layer, Layout, entry, hardlink, link, noise
from program import IS_ROOT, NOBODY, run_tool

SHARED = {}


def setUpModule():
    folder = tempfile.mkdtemp(prefix="imgstore-interop-")
    unittest.addModuleCleanup(program.remove_tree, folder)
    SHARED["busybox"] = images.busybox(os.path.join(folder, "busybox"))


def can_set_xattrs(folder):
    path = os.path.join(folder, "probe")
    with open(path, "wb"):
        pass
    try:
        os.setxattr(path, "user.probe", b"1")
        return True
    except OSError:
        return False
    finally:
        os.unlink(path)


def skopeo(*arguments):
    return run_tool("skopeo", "--insecure-policy", *arguments)


class Exchange(program.Case):
    def load(self, folder, *options, **more):
        return self.ok("load", "-q", "-i", folder, *options, **more)

    def test_our_store_by_skopeo(self):
        self.load(SHARED["busybox"], "--rename", "example.org/lab/busybox:1")
        digest = json.loads(self.ok("inspect", "example.org/lab/busybox:1"))[0]["Descriptor"]["digest"]
        for name in (":1", ""):
            seen = json.loads(skopeo("inspect", f"oci:{self.root}{name}"))
            self.assertEqual((seen["Digest"], len(seen["Layers"])), (digest, 2))
        skopeo("copy", "-q", f"oci:{self.root}:1", f"oci:{self.path('copy')}:x")
        self.assertEqual(set(os.listdir(self.path("copy", "blobs", "sha256"))), set(self.blobs()))

    def test_our_store_by_umoci(self):
        self.load(SHARED["busybox"], "--rename", "example.org/lab/busybox:1")
        self.assertEqual(run_tool("umoci", "ls", "--layout", self.root).split(), [b"1"])
        self.assertIn(b"umoci", run_tool("umoci", "stat", "--image", f"{self.root}:1"))
        run_tool("umoci", "unpack", *images.ROOTLESS, "--image", f"{self.root}:1", self.path("bundle"))
        self.assertEqual(run_tool(self.path("bundle", "rootfs", "bin", "busybox"), "echo", "x"), b"x\n")

    def test_our_store_after_umoci_gc(self):
        """Another tool may not destroy what we keep, nor our private folder."""
        self.load(SHARED["busybox"], "--rename", "example.org/lab/busybox:1")
        run_tool("umoci", "gc", "--layout", self.root)
        self.assert_sound()
        self.ok("unpack", "-q", "example.org/lab/busybox:1", self.path("tree"))

    def test_a_tag_that_umoci_added(self):
        self.load(SHARED["busybox"], "--rename", "example.org/lab/busybox:1")
        run_tool("umoci", "tag", "--image", f"{self.root}:1", "theirs")
        self.assertEqual(len(self.names()), 2)
        self.ok("prune")
        self.assert_sound()

    def test_multi_architecture_store_by_skopeo(self):
        layout = Layout(self.path("multi"))
        layout.multi({ARCHITECTURE: [Layer([entry("a", b"a")])], OTHER_ARCHITECTURE: [Layer([entry("b", b"b")])]})
        self.load(layout.folder)
        skopeo("copy", "-q", "--all", f"oci:{self.root}:latest", f"oci:{self.path('copy')}:x")
        self.assertEqual(set(os.listdir(self.path("copy", "blobs", "sha256"))), set(self.blobs()))

    def test_one_platform_of_many_by_skopeo(self):
        layout = Layout(self.path("multi"))
        layout.multi({ARCHITECTURE: [Layer([entry("a", b"a")])], OTHER_ARCHITECTURE: [Layer([entry("b", b"b")])]})
        server = registry.FaultServer(self.path("server"), layout.folder)
        self.addCleanup(server.stop)
        self.ok("pull", "-q", server.name("plain"))
        skopeo("copy", "-q", f"oci:{self.root}:latest", f"oci:{self.path('copy')}:x")
        run_tool("umoci", "unpack", *images.ROOTLESS, "--image", f"{self.root}:latest", self.path("bundle"))

    def test_layout_by_skopeo(self):
        skopeo("copy", "-q", f"oci:{SHARED['busybox']}:latest", f"oci:{self.path('made')}:tag")
        self.assertEqual(self.load(self.path("made")), "Loaded image: made:tag\n")
        self.assert_sound()

    def test_layout_by_skopeo_with_all_platforms(self):
        layout = Layout(self.path("multi"))
        layout.multi({ARCHITECTURE: [Layer([entry("a", b"a")])], OTHER_ARCHITECTURE: [Layer([entry("b", b"b")])]})
        skopeo("copy", "-q", "--all", f"oci:{layout.folder}:latest", f"oci:{self.path('made')}:tag")
        self.load(self.path("made"))
        for architecture in (ARCHITECTURE, OTHER_ARCHITECTURE):
            seen = json.loads(self.ok("inspect", "--platform", f"linux/{architecture}", "made:tag"))
            self.assertEqual(seen[0]["Architecture"], architecture)

    def test_layout_of_many_images(self):
        layout = Layout(self.path("several"))
        for tag in ("a", "b", "c"):
            layout.image([Layer([entry(tag, tag.encode())])], tag)
        self.load(layout.folder)
        self.assertEqual(self.names(), ["several:a", "several:b", "several:c"])
        self.load(layout.folder, "--name", "b", "--rename", "other/name:9", root=self.path("second"))
        self.assertEqual(self.names(self.path("second")), ["other/name:9"])
        self.fails("load", "-q", "-i", layout.folder, "--rename", "x:1", root=self.path("third"))
        self.fails("load", "-q", "-i", layout.folder, "--name", "nosuch", root=self.path("third"), naming="nosuch")

    def test_loading_the_store_into_another(self):
        self.load(SHARED["busybox"], "--rename", "example.org/lab/busybox:1")
        self.load(self.root, root=self.path("second"))
        self.assertEqual(self.names(self.path("second")), ["example.org/lab/busybox:1"])
        self.assertEqual(self.blobs(), self.blobs(self.path("second")))

    def test_load_is_verified(self):
        shutil.copytree(SHARED["busybox"], self.path("bad"))
        manifest = json.loads(run_tool("skopeo", "inspect", "--raw", f"oci:{self.path('bad')}:latest"))
        victim = self.path("bad", "blobs", *manifest["layers"][0]["digest"].split(":"))
        os.chmod(victim, 0o644)
        with open(victim, "r+b") as file:
            file.seek(500)
            file.write(b"\0\1\2\3")
        self.fails("load", "-q", "-i", self.path("bad"), naming=manifest["layers"][0]["digest"])
        self.assertEqual(self.names(), [])

    def test_what_is_no_layout(self):
        os.mkdir(self.path("empty"))
        self.fails("load", "-q", "-i", self.path("empty"), naming="empty")
        self.fails("load", "-q", "-i", self.path("absent"), naming="absent")
        self.assertEqual(self.imgstore("load", "-i", self.path("a"), self.path("b")).code, 2)

    def test_umoci_insert(self):
        """umoci insert leaves its archives without an end; every other reader takes them."""
        image = self.path("layout") + ":x"
        run_tool("umoci", "init", "--layout", self.path("layout"))
        run_tool("umoci", "new", "--image", image)
        run_tool("umoci", "insert", *images.ROOTLESS, "--image", image, self.write("file", "content"), "/etc/file")
        self.load(self.path("layout"))
        self.ok("unpack", "-q", "layout:x", self.path("tree"))
        with open(self.path("tree", "etc", "file"), encoding="ascii") as file:
            self.assertEqual(file.read(), "content")


def rich_layers(privileged):
    """Layers with everything that a layer can hold. Root folders are given, so that times are the same everywhere."""
    owner = {"uid": 1000, "gid": 1001} if privileged else {}
    first = [
        entry("./", mode=0o755), entry("bin/"), entry("bin/tool", noise(9000), mode=0o755), entry("bin/su", b"s", mode=0o4755),
        entry("bin/sg", b"s", mode=0o2755), entry("tmp/", mode=0o1777), entry("etc/"), entry("etc/secret", b"x", mode=0o600),
        entry("etc/conf", b"old", **owner), link("etc/link", "conf"), link("etc/absolute", "/bin/tool"),
        link("etc/dangling", "../../nowhere"), hardlink("bin/again", "bin/tool"), hardlink("etc/linked", "etc/link"),
        entry("opaque/"), entry("opaque/below", b"1"), entry("opaque/deep/"), entry("opaque/deep/er", b"2"),
        entry("gone/"), entry("gone/a", b"a"), entry("gone/b/"), entry("gone/b/c", b"c"), entry("one", b"1"),
        entry("becomes-dir", b"f"), entry("becomes-file/"), entry("becomes-file/x", b"x"), link("becomes-real", "etc"),
        entry("usr/"), entry("usr/lib/"), link("lib", "usr/lib"), entry("lib/through", b"through a link"),
        entry("empty", b""), entry("big", noise(300000)), entry("zeros", bytes(200000)),
        entry("n" * 200 + "/"), entry("n" * 200 + "/" + "m" * 200, b"long"), link("long-link", "t" * 300),
        entry("ünï/"), entry("ünï/日本語 файл", b"utf-8"), entry("spaces and \"quotes\" \\ $x", b"odd"),
        entry("mtime", b"m", mtime=1234567890.987654321), entry("old", b"o", mtime=1), entry("future", b"f", mtime=4102444800),
        entry("read-only/", mode=0o555), entry("read-only/inside", b"r", mode=0o444), entry("none/", mode=0o000),
        entry("pipe", kind=tarfile.FIFOTYPE), entry("implied/parent/file", b"no folder entries"),
    ]
    second = [
        entry("./", mode=0o750), entry("gone/.wh.a"), entry(".wh.one"), entry("opaque/.wh..wh..opq"), entry("opaque/new", b"n"),
        entry("becomes-dir/"), entry("becomes-dir/y", b"y"), entry("becomes-file", b"file now"),
        entry("becomes-real/"), entry("becomes-real/z", b"z"), entry("etc/conf", b"new content"), entry("lib/second", b"2"),
        entry("bin/tool", b"replaced: its other name keeps the old content", mode=0o711), hardlink("cross", "etc/secret"),
    ]
    third = [
        entry("./", mode=0o755), entry("gone/.wh.b"), entry("gone/b2", b"b2"), entry("etc/.wh.link"), entry("opaque/.wh.new"),
        entry("opaque/new", b"same layer, whatever the order"), entry("bin/"), entry("etc/", mode=0o711, mtime=1500000000),
    ]
    if privileged:
        first += [entry("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
                  entry("block", kind=tarfile.BLKTYPE, device=(7, 300), mode=0o660, gid=6),
                  entry("owned", b"o", uid=12345, gid=54321, mode=0o6755), link("owned-link", "owned", uid=7, gid=8),
                  entry("owned-big", b"o", uid=3000000000, gid=3000000001)]
    return [first, second, third]


def with_xattrs():
    return entry("attributed", b"a", xattrs={"user.name": "value", "user.ünï": "wert"}), entry(
        "attributed-dir/", xattrs={"user.dir": "d"})


class Trees(program.Case):
    """imgstore unpack, imgstore pull --unpack and umoci unpack give the same tree."""

    def make(self, privileged=IS_ROOT, compression="gzip"):
        layout = Layout(self.path("layout"))
        content = rich_layers(privileged)
        if can_set_xattrs(self.dir):
            content[0] += with_xattrs()
        layout.image([Layer(entries, compression) for entries in content])
        return layout

    def assert_same(self, one, other, **what):
        # A folder that no layer has an entry for gets its times from the clock.
        lines = [line for line in trees.differences(one, other, **what) if not line.startswith("implied")]
        self.assertEqual(lines, [], "\n" + "\n".join(lines[:60]))

    def umoci_tree(self, layout):
        run_tool("umoci", "unpack", *images.ROOTLESS, "--image", f"{layout.folder}:latest", self.path("bundle"))
        return self.path("bundle", "rootfs")

    @unittest.skipUnless(IS_ROOT, "owners and devices need root")
    def test_as_umoci(self):
        layout = self.make()
        self.ok("load", "-q", "-i", layout.folder)
        self.ok("unpack", "-q", "layout:latest", self.path("tree"))
        theirs = self.umoci_tree(layout)
        # umoci leaves the times of folders that it had to make, and of those that a later layer changed, to the clock.
        lines = [line for line in trees.differences(self.path("tree"), theirs) if ": mtime: " not in line]
        self.assertEqual(lines, [], "\n" + "\n".join(lines))
        moved = [line for line in trees.differences(self.path("tree"), theirs) if ": mtime: " in line]
        files = [line for line in moved if not os.path.isdir(self.path("tree", line.split(": mtime: ")[0]))]
        self.assertEqual(files, [], "\n" + "\n".join(files))

    @unittest.skipUnless(IS_ROOT, "owners and devices need root")
    def test_as_the_image_says(self):
        """Where umoci is not the judge."""
        self.ok("load", "-q", "-i", self.make().folder)
        self.ok("unpack", "-q", "layout:latest", self.path("tree"))
        tree = self.path("tree")
        self.assertEqual(os.lstat(tree).st_mtime, images.MTIME)
        self.assertEqual(stat.S_IMODE(os.lstat(tree).st_mode), 0o755)
        self.assertEqual(os.lstat(os.path.join(tree, "etc")).st_mtime, 1500000000)
        self.assertEqual(os.lstat(os.path.join(tree, "tmp")).st_mtime, images.MTIME)
        self.assertEqual(os.lstat(os.path.join(tree, "mtime")).st_mtime_ns // 1000, 1234567890987654)
        self.assertEqual(stat.S_IMODE(os.lstat(os.path.join(tree, "bin/su")).st_mode), 0o4755)
        self.assertEqual(sorted(os.listdir(os.path.join(tree, "opaque"))), ["new"])
        self.assertEqual(sorted(os.listdir(os.path.join(tree, "gone"))), ["b2"])
        self.assertEqual(sorted(os.listdir(os.path.join(tree, "usr/lib"))), ["second", "through"])
        with open(os.path.join(tree, "bin/again"), "rb") as file:
            self.assertEqual(file.read(), noise(9000))
        self.assertEqual(os.lstat(os.path.join(tree, "owned-big")).st_uid, 3000000000)

    def test_workers_and_streaming_give_the_same_tree(self):
        layout = self.make()
        server = registry.FaultServer(self.path("server"), layout.folder)
        self.addCleanup(server.stop)
        self.ok("pull", "-q", server.name("plain"))
        self.ok("unpack", "-q", "--workers", 0, server.name("plain"), self.path("tree"))
        for workers in (1, 4):
            self.ok("unpack", "-q", "--workers", workers, server.name("plain"), self.path(f"tree{workers}"))
            self.assert_same(self.path("tree"), self.path(f"tree{workers}"))
        for workers in (0, 1, 4):
            self.ok("pull", "-q", "--workers", workers, "--unpack", self.path(f"pulled{workers}"), server.name("plain"),
                    root=self.path(f"store{workers}"))
            self.assert_same(self.path("tree"), self.path(f"pulled{workers}"))
        self.ok("pull", "-q", "--unpack", self.path("again"), server.name("plain"))  # nothing to fetch
        self.assert_same(self.path("tree"), self.path("again"))

    def test_compressions_give_the_same_tree(self):
        for compression in ("gzip", "zstd", ""):
            os.mkdir(self.path("c" + compression))
            self.dir, kept = self.path("c" + compression), self.dir
            layout = self.make(compression=compression)
            self.dir = kept
            self.ok("load", "-q", "-i", layout.folder, "--rename", f"x:{compression or 'none'}")
            self.ok("unpack", "-q", f"x:{compression or 'none'}", self.path("tree" + compression))
        self.assert_same(self.path("treegzip"), self.path("treezstd"))
        self.assert_same(self.path("treegzip"), self.path("tree"))

    def test_sparse_files(self):
        big = self.path("sparse")
        with open(big, "wb") as file:
            file.truncate(30 << 20)
            for at in (0, 5 << 20, (30 << 20) - 4096):
                file.seek(at)
                file.write(noise(4096, at + 1))
        for form in ("gnu", "posix"):
            for version in (["0.0", "0.1", "1.0"] if form == "posix" else [""]):
                with self.subTest(form + version):
                    name = f"{form}{version}"
                    tar = run_tool("tar", "-C", self.dir, "--sparse", f"--format={form}", "-cf", "-", "sparse",
                                   *([f"--sparse-version={version}"] if version else []))
                    layout = Layout(self.path(name))
                    layout.image([Layer(tar)])
                    self.ok("load", "-q", "-i", layout.folder)
                    self.ok("unpack", "-q", f"{name}:latest", self.path("tree-" + name))
                    made = self.path("tree-" + name, "sparse")
                    self.assertEqual(trees.describe(made)["content"], trees.describe(big)["content"])
                    self.assertLess(os.stat(made).st_blocks * 512, 4 << 20)

    def test_formats_of_tar(self):
        os.makedirs(self.path("content", "d" * 70, "e" * 70))
        for name, text in (("d" * 70 + "/" + "e" * 70 + "/" + "f" * 60, "deep"), ("plain", "p")):
            self.write("content/" + name, text)
        os.symlink("plain", self.path("content", "symlink"))
        os.link(self.path("content", "plain"), self.path("content", "hard"))
        for form in ("gnu", "pax", "ustar"):
            with self.subTest(form):
                tar = run_tool("tar", "-C", self.path("content"), f"--format={form}", "--sort=name", "-cf", "-", ".")
                layout = Layout(self.path(form))
                layout.image([Layer(tar)])
                self.ok("load", "-q", "-i", layout.folder)
                self.ok("unpack", "-q", f"{form}:latest", self.path("tree-" + form))
                lines = trees.differences(self.path("content"), self.path("tree-" + form), times=form == "pax")
                self.assertEqual(lines, [])

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_capabilities(self):
        capability = bytes.fromhex("0100000200040000000000000000000000000000")
        layout = Layout(self.path("layout"))
        layout.image([Layer([entry("tool", b"x", mode=0o755, xattrs={
            "security.capability": capability.decode("latin-1")})])])
        self.ok("load", "-q", "-i", layout.folder)
        self.ok("unpack", "-q", "layout:latest", self.path("tree"))
        self.assertEqual(os.getxattr(self.path("tree", "tool"), "security.capability"), capability)

    @unittest.skipUnless(IS_ROOT, "becomes another user")
    def test_as_another_user(self):
        layout = self.make(privileged=False)
        open_up(self.dir)
        home = self.path("nobody")
        os.mkdir(home)
        os.chown(home, NOBODY, NOBODY)
        me = program.AS_NOBODY
        copy = self.readable_by_all(program.IMGSTORE)[0]
        env = {"PROGRAM": copy, "LD_LIBRARY_PATH": os.path.dirname(copy), "HOME": home}
        self.be(me, env, "load", "-q", "-i", layout.folder)
        self.be(me, env, "unpack", "-q", "layout:latest", os.path.join(home, "tree"))
        run_tool(*me, "umoci", "unpack", "--rootless", "--image", f"{layout.folder}:latest", os.path.join(home, "bundle"),
                 env={**self.environment(), "HOME": home})
        lines = trees.differences(os.path.join(home, "tree"), os.path.join(home, "bundle", "rootfs"))
        lines = [line for line in lines if ": mtime: " not in line and "user.rootlesscontainers" not in line]
        self.assertEqual(lines, [], "\n" + "\n".join(lines))
        shutil.rmtree(home)

    def be(self, me, env, *arguments):
        line = [*me, env["PROGRAM"], "--root", os.path.join(env["HOME"], "store"), *arguments]
        done = subprocess.run(line, env=self.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIsNone(program.REPORTS.search(done.stderr.decode()), done.stderr.decode())


def open_up(folder):
    """Others may read everything below."""
    os.chmod(folder, 0o755)
    run_tool("chmod", "-R", "a+rX", folder)


if __name__ == "__main__":
    program.main(["skopeo", "umoci", "busybox", "zstd", "tar"])
