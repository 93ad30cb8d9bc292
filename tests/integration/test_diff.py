"""Layers of what was changed in an overlay: random changes through a real mount, applied to the base, give the same
tree; hostile upper directories; trees that change while they are read."""
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import program
import trees

DRIVER = os.environ.get("DIFF_DRIVER", "diff_driver")
TRUSTED, USER, FUSE = "1", "2", "4"
INSIDE = os.environ.get("DIFF_IN_NAMESPACE")
NAMES = ["a", "b", "c", "long" * 40, "sp ace", "new\nline", "\u00e4", os.fsdecode(b"\xff\xfe"), "-dash", "x.y"]


def driver(*arguments, **more):
    return subprocess.run([DRIVER, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def mount(target, lowers, upper, work, more=""):
    options = f"lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}{more}"
    return subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, target], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).returncode == 0


class DiffCase(program.Case):
    def setUp(self):
        super().setUp()
        for name in ("one", "two", "upper", "work", "merged", "base"):
            os.mkdir(self.path(name))
        self.mounted = False
        self.addCleanup(self.umount)

    def umount(self):
        if self.mounted:
            subprocess.run(["umount", self.path("merged")], check=True)
        self.mounted = False

    def mount(self, lowers=("two", "one")):
        more = ",userxattr" if INSIDE else ",redirect_dir=nofollow,metacopy=off,index=off"
        lowers = [self.path(n) for n in lowers]
        self.mounted = mount(self.path("merged"), lowers, self.path("upper"), self.path("work"), more)
        if not self.mounted:
            self.skipTest("overlay cannot be mounted here")

    def archive(self, name="upper", marks=USER if INSIDE else TRUSTED, lowers=()):
        done = driver("archive", self.path(name), marks, *[self.path(n) for n in lowers])
        return done

    def layer(self, *arguments, **more):
        done = self.archive(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def names(self, layer):
        with open(self.path("layer.tar"), "wb") as file:
            file.write(layer)
        with tarfile.open(self.path("layer.tar")) as tar:
            return [m.name for m in tar]

    def apply(self, layer, target="base"):
        done = driver("apply", self.path(target), input=layer)
        self.assertEqual(done.returncode, 0, done.stderr)

    def changes(self, name, marks, lowers):
        done = driver("changes", self.path(name), marks, *[self.path(n) for n in lowers])
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]


class Changer:
    """Random objects and random changes to them, by name only."""

    def __init__(self, seed, root, privileged):
        self.random, self.root, self.privileged = random.Random(seed), root, privileged

    def places(self, kind=None):
        found = [""] if kind in (None, "dir") else []
        for folder, dirs, files in os.walk(self.root):
            below = os.path.relpath(folder, self.root)
            found += [os.path.normpath(os.path.join(below, n)) for n in (dirs if kind == "dir" else dirs + files)]
        return sorted(found)

    def free(self):
        folder = self.random.choice(self.places("dir"))
        name = self.random.choice(NAMES)
        path = os.path.join(self.root, folder, name)
        return None if os.path.lexists(path) or len(path) > 2000 else path

    def content(self):
        size = self.random.choice([0, 1, 511, 512, 513, 5000, 70000])
        return bytes([self.random.randrange(256)]) * size

    def make(self):
        path = self.free()
        if not path:
            return
        kind = self.random.choice(["file"] * 4 + ["dir"] * 4 + ["link", "hard", "fifo", "device", "sparse"])
        if kind == "dir":
            os.mkdir(path)
        elif kind == "link":
            os.symlink(self.random.choice(["a", "/etc/passwd", "../../b", "x" * 300]), path)
        elif kind == "hard":
            files = [p for p in self.places() if p and not os.path.isdir(os.path.join(self.root, p))
                     and not os.path.islink(os.path.join(self.root, p))]
            if files:
                os.link(os.path.join(self.root, self.random.choice(files)), path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "device" and self.privileged:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        elif kind == "sparse":
            with open(path, "wb") as file:
                file.truncate(8 << 20)
                file.seek(self.random.randrange(0, 8 << 20, 4096))
                file.write(b"data")
        else:
            with open(path, "wb") as file:
                file.write(self.content())

    def attribute(self, path):
        if os.path.islink(path):
            return
        what = self.random.choice(["mode", "owner", "xattr", "time"])
        if what == "mode":
            os.chmod(path, self.random.choice([0o755, 0o700, 0o4711, 0o1777, 0o640]) | (0o700 if os.path.isdir(path)
                                                                                         else 0o600))
        elif what == "owner" and self.privileged:
            os.chown(path, self.random.randrange(3), self.random.randrange(70000))
        elif what == "xattr" and (os.path.isfile(path) or os.path.isdir(path)):
            os.setxattr(path, "user.test" + str(self.random.randrange(3)), self.content()[:200])
        else:
            os.utime(path, ns=(0, self.random.randrange(-10**18, 2 * 10**18)))

    def change(self):
        places = [p for p in self.places() if p]
        path = os.path.join(self.root, self.random.choice(places)) if places else None
        what = self.random.choice(["make"] * 3 + ["remove", "replace", "write", "attribute", "again", "rename"])
        if what == "make" or not path:
            self.make()
        elif what == "attribute":
            self.attribute(path)
        elif what == "write" and os.path.isfile(path) and not os.path.islink(path):
            with open(path, "ab") as file:
                file.write(b"more")
        elif what == "rename" and not os.path.isdir(path):
            free = self.free()
            if free:
                os.rename(path, free)
        elif what in ("remove", "replace", "again"):
            was_dir = os.path.isdir(path) and not os.path.islink(path)
            shutil.rmtree(path) if was_dir else os.remove(path)
            if what == "again" and was_dir or what == "replace" and not was_dir:
                os.mkdir(path)
            elif what == "replace":
                with open(path, "wb") as file:
                    file.write(b"replaced")


class RandomChanges(DiffCase):
    def one(self, seed):
        for name in ("base", "copy", "again"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        for name in ("one", "two", "upper", "work"):
            shutil.rmtree(self.path(name))
            os.mkdir(self.path(name))
        privileged = program.IS_ROOT and not INSIDE
        for name in ("one", "two"):
            maker = Changer(f"{seed} {name}", self.path(name), privileged)
            for _ in range(25):
                maker.make()
        # The base is what the lower directories show together.
        subprocess.run(["cp", "-a", self.path("one"), self.path("base")], check=True)
        self.mount(("one",))
        changer = Changer(seed, self.path("merged"), privileged)
        for _ in range(40):
            changer.change()
        lines = self.changes("upper", USER if INSIDE else TRUSTED, ["one"])
        layer = self.layer()
        self.assertEqual(layer, self.layer(), "not the same twice")
        self.apply(layer)
        differences = trees.differences(self.path("merged"), self.path("base"))
        self.assertEqual([d for d in differences if "links" not in d], [], f"seed {seed}")
        before, after = trees.scan(self.path("one")), trees.scan(self.path("merged"))
        self.umount()
        added = {b"/" + p for p in set(after) - set(before)}
        told = {line[2:].encode("utf-8", "surrogateescape") for line in lines if line[0] == "A"} if not any(
            b"\n" in p for p in set(after) | set(before)) else None
        if told is not None:
            self.assertEqual(told, added, f"seed {seed}")
        # A copy that was changed in the same way is told and made a layer by comparing.
        subprocess.run(["cp", "-a", self.path("base"), self.path("copy")], check=True)
        subprocess.run(["cp", "-a", self.path("one"), self.path("again")], check=True)
        self.apply(self.layer("copy", "0", ["one"]), "again")
        differences = trees.differences(self.path("copy"), self.path("again"))
        self.assertEqual([d for d in differences if "links" not in d], [], f"seed {seed}")

    def test_random(self):
        if not (program.IS_ROOT or INSIDE):
            self.skipTest("needs root")
        for seed in range(12):
            with self.subTest(seed=seed):
                try:
                    self.one(seed)
                finally:
                    self.umount()

    def test_in_a_user_namespace(self):
        if INSIDE:
            self.skipTest("is in one")
        if subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("user namespaces are not allowed here")
        done = subprocess.run(["unshare", "-Urm", sys.executable, os.path.abspath(__file__), "RandomChanges.test_random"],
                              env={**os.environ, "DIFF_IN_NAMESPACE": "1"}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=300)
        self.assertIn(done.returncode, (0, program.SKIPPED), done.stdout.decode())


class Hostile(DiffCase):
    """Upper directories as somebody who ran inside, or who got at the files, may have left them."""

    def setUp(self):
        super().setUp()
        if not program.IS_ROOT or INSIDE:
            self.skipTest("needs root")

    def write(self, name, content, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        return super().write(name, content, mode)

    def test_marks_of_another_kind_mean_nothing(self):
        self.write("one/etc/keep", "x")
        self.write("upper/etc/new", "x")
        os.setxattr(self.path("upper/etc"), "user.overlay.opaque", b"y")
        os.setxattr(self.path("upper/etc"), "user.fuseoverlayfs.opaque", b"y")
        os.setxattr(self.path("upper/etc/new"), "user.overlay.whiteout", b"")
        os.setxattr(self.path("upper/etc/new"), "user.overlay.redirect", b"/x")
        os.setxattr(self.path("upper/etc/new"), "user.rootlesscontainers", b"\x08\x05")
        os.setxattr(self.path("upper/etc/new"), "user.mine", b"1")
        layer = self.layer()
        self.assertEqual(self.names(layer), [".", "etc", "etc/new"])
        self.apply(layer)
        self.assertEqual(sorted(os.listxattr(self.path("base/etc/new"))), ["user.mine", "user.rootlesscontainers"])
        self.assertEqual(os.stat(self.path("base/etc/new")).st_uid, 0)
        self.assertEqual(self.changes("upper", TRUSTED, ["one"]), ["C /etc", "A /etc/new"])

    def test_escaped_marks_are_no_marks(self):
        self.write("upper/d/f", "x")
        for name in ("trusted.overlay.overlay.opaque", "trusted.overlay.overlay.whiteout", "trusted.overlay.opaque2"):
            os.setxattr(self.path("upper/d"), name, b"y")
        self.assertEqual(self.names(self.layer()), [".", "d", "d/f"])

    def test_opaque_takes_exactly_y(self):
        self.write("upper/d/f", "x")
        for value in (b"n", b"yes", b"", b"Y"):
            os.setxattr(self.path("upper/d"), "trusted.overlay.opaque", value)
            self.assertEqual(self.names(self.layer()), [".", "d", "d/f"], value)
        os.setxattr(self.path("upper/d"), "trusted.overlay.opaque", b"y")
        self.assertEqual(self.names(self.layer()), [".", "d", "d/.wh..wh..opq", "d/f"])

    def test_whiteouts_that_are_files(self):
        self.write("one/d/gone", "x")
        self.write("upper/d/gone", "")
        self.write("upper/d/full", "not empty")
        for name in ("gone", "full"):
            os.setxattr(self.path("upper/d", name), "trusted.overlay.whiteout", b"")
        self.assertEqual(self.names(self.layer()), [".", "d", "d/full", "d/gone"])
        os.setxattr(self.path("upper/d"), "trusted.overlay.opaque", b"x")
        self.assertEqual(self.names(self.layer()), [".", "d", "d/full", "d/.wh.gone"])
        self.assertEqual(self.changes("upper", TRUSTED, ["one"]), ["C /d", "A /d/full", "D /d/gone"])

    def test_redirects_and_metacopies_are_refused(self):
        self.write("upper/d/f", "x")
        os.setxattr(self.path("upper/d"), "trusted.overlay.redirect", b"/etc")
        done = self.archive()
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'entry "d": a directory that was renamed', done.stderr)
        os.removexattr(self.path("upper/d"), "trusted.overlay.redirect")
        os.setxattr(self.path("upper/d/f"), "trusted.overlay.metacopy", b"")
        self.assertIn(b'entry "d/f": a file without its data', self.archive().stderr)

    def test_fuse_overlayfs(self):
        for name in ("one/d/gone", "one/d/below", "one/o/below"):
            self.write(name, "x")
        self.write("upper/d/.wh.gone", "")
        self.write("upper/o/.wh..wh..opq", "")
        self.write("upper/o/new", "x")
        self.assertEqual(self.names(self.layer(marks="6")), [".", "d", "d/.wh.gone", "o", "o/.wh..wh..opq", "o/new"])
        self.assertEqual(self.changes("upper", "6", ["one"]), ["C /d", "D /d/gone", "C /o", "D /o/below", "A /o/new"])
        done = self.archive()
        self.assertEqual(self.names(done.stdout), [".", "d", "o", "o/new"])
        self.assertIn(b"would be a whiteout", done.stderr)

    def test_sockets_and_devices(self):
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        here = os.getcwd()
        os.chdir(self.path("upper"))
        self.addCleanup(os.chdir, here)
        server.bind("socket")
        os.mknod("zero", stat.S_IFCHR, os.makedev(0, 0))
        os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(8, 1))
        done = self.archive()
        self.assertEqual(self.names(done.stdout), [".", "disk", ".wh.zero"])
        self.assertEqual(done.stderr, b"socket: a socket\n")
        done = self.archive(marks="0")
        self.assertEqual(self.names(done.stdout), [".", "disk"])
        self.assertIn(b"zero: device 0:0", done.stderr)

    def test_links_are_not_followed(self):
        self.write("secret/file", "secret")
        os.symlink(self.path("secret"), self.path("upper/link"))
        os.symlink(self.path("secret/file"), self.path("upper/file"))
        layer = self.layer()
        self.assertNotIn(b"secret\0", layer.replace(self.path("secret").encode(), b"") + b"\0")
        self.assertEqual(self.names(layer), [".", "file", "link"])
        os.symlink(self.path("secret"), self.path("one/d"))
        self.write("upper/d/file", "mine")
        self.assertEqual(self.changes("upper", TRUSTED, ["one"])[0:2], ["C /d", "A /d/file"])

    def test_too_deep(self):
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.path("upper"))
        for _ in range(600):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        os.chdir(here)
        done = self.archive()
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"path has more than 512 components", done.stderr)
        subprocess.run(["rm", "-rf", self.path("upper")], check=True)

    def test_deep_enough_for_long_paths(self):
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.path("upper"))
        for _ in range(100):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        with open("f", "w") as file:
            file.write("deep")
        os.chdir(here)
        self.apply(self.layer())
        self.assertIn("A /" + "/".join(["d" * 200] * 100) + "/f", self.changes("upper", TRUSTED, ["one"]))
        subprocess.run(["rm", "-rf", self.path("upper"), self.path("base")], check=True)

    def test_other_file_systems_are_not_read(self):
        os.mkdir(self.path("upper/mnt"))
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path("upper/mnt")]).returncode:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", self.path("upper/mnt")])
        self.write("upper/mnt/secret", "x")
        done = self.archive()
        self.assertEqual(self.names(done.stdout), [".", "mnt"])
        self.assertIn(b"mnt: content not read", done.stderr)

    def test_whatever_moves_while_it_is_read(self):
        """Every run ends with a layer or with an error that names a path; nothing of outside gets in."""
        self.write("secret/d/secret", "SECRET" * 100)
        for number in range(40):
            self.write(f"upper/d{number}/e/f", "x" * 1000)
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for number in range(40):
                    folder = self.path(f"upper/d{number}")
                    try:
                        os.rename(folder, folder + ".away")
                        os.symlink(self.path("secret"), folder)
                        os.unlink(folder)
                        os.rename(folder + ".away", folder)
                    except OSError:
                        pass

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for _ in range(60):
                done = self.archive()
                self.assertNotIn(b"SECRET", done.stdout)
                if done.returncode:
                    self.assertRegex(done.stderr, rb'^error -?\d+: entry "')
        finally:
            stop.set()
            thread.join()

    def test_files_that_grow_and_shrink(self):
        path = self.write("upper/log", "x" * (4 << 20))
        stop = threading.Event()

        def rewrite():
            with open(path, "r+b") as file:
                while not stop.is_set():
                    file.truncate(1 << 20)
                    file.truncate(6 << 20)

        thread = threading.Thread(target=rewrite)
        thread.start()
        try:
            done = [self.archive() for _ in range(10)]
        finally:
            stop.set()
            thread.join()
        failed = [d for d in done if d.returncode]
        self.assertTrue(failed)
        for one in failed:
            self.assertRegex(one.stderr, rb'entry "log": (changed|became shorter) while it was read')


if __name__ == "__main__":
    program.main() if hasattr(program, "main") else unittest.main()
