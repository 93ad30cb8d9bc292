"""Commands killed at a system call: the store opens, what was committed is whole, and the same command then succeeds."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry
from images import Layer, entry, noise

# Calls that change what is on disk, or that others see; a kill between two of them is a kill at the second.
CALLS = ("openat", "write", "pwrite64", "writev", "fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat",
         "unlink", "unlinkat", "mkdirat", "ftruncate", "fallocate", "flock", "copy_file_range", "fchmod")
SAMPLE = 20 if not program.SANITIZED else 5  # kills per command


def strace_works():
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=none", "-e",
                           "inject=getppid:signal=KILL:when=1", "true"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


class Killed(program.Case):
    def setUp(self):
        super().setUp()
        self.layout = images.simple(self.path("layout"), 3, size=40000)
        kept = images.simple(self.path("kept"), 2, tag="1", seed=50)
        self.ok("load", "-q", "-i", kept.folder)
        self.kept = self.blobs()
        # The leak checker does not work under ptrace.
        self.env = {"ASAN_OPTIONS": "detect_leaks=0"}

    def calls_of(self, arguments, root):
        """[(call, how often it was made by then)] of the command, in their order."""
        log, made, calls = self.path("trace"), {}, []
        self.ok(*arguments, root=root, env=self.env, before=self.strace(log, "trace=" + ",".join(CALLS)))
        with open(log, encoding="utf-8", errors="replace") as file:
            for match in re.finditer(r"^(?:\d+ +)?([a-z0-9_]+)\(", file.read(), re.MULTILINE):
                made[match[1]] = made.get(match[1], 0) + 1
                calls.append((match[1], made[match[1]]))
        return calls

    @staticmethod
    def strace(log, *what):
        return ["strace", "-f", "-qq", "-o", log, "-e", "signal=none", *[word for w in what for word in ("-e", w)]]

    def copy_store(self, name):
        root = self.path(name)
        program.run_tool("cp", "-a", self.root, root)
        return root

    def at_every_call(self, *arguments, after):
        """after(root): what must hold when the command has run, killed or not, and then again."""
        calls = self.calls_of(arguments, self.copy_store("counted"))
        step, killed = max(1, len(calls) // SAMPLE), 0
        for at in sorted({*range(len(calls) % step, len(calls), step), len(calls) - 1}):
            name, nth = calls[at]
            with self.subTest(f"call {at} of {len(calls)}: {name} number {nth}"):
                root = self.copy_store(f"store{at}")
                # Each thread counts for itself: without workers there is one.
                result = self.imgstore(*arguments, root=root, env=self.env, before=self.strace(
                    "/dev/null", "trace=" + name, f"inject={name}:signal=KILL:when={nth}"))
                killed += result.code in (-9, 137)
                self.check(root)
                again = self.imgstore(*arguments, root=root)
                after(root, again)
                self.check(root)
                self.ok("prune", root=root)
                self.check(root)
                self.assert_clean(root)
                program.remove_tree(root)
        self.assertGreater(killed, min(len(calls), SAMPLE) // 2)

    def check(self, root):
        """It opens, what is committed is whole, and what nobody touched is there."""
        self.assert_sound(root)
        self.assertIn("kept:1", self.names(root))
        self.assertEqual(set(self.kept) - set(self.blobs(root)), set())
        for name in self.names(root):
            self.ok("inspect", name, root=root)

    def succeeded(self, name):
        def after(root, again):
            self.assertEqual(again.code, 0, str(again))
            self.assertIn(name, self.names(root))

        return after

    def test_load(self):
        self.at_every_call("load", "-q", "--workers", 0, "-i", self.layout.folder, after=self.succeeded("layout:latest"))

    def test_pull(self):
        server = registry.FaultServer(self.path("server"), self.layout.folder)
        self.addCleanup(server.stop)
        self.at_every_call("pull", "-q", "--workers", 0, server.name("plain"), after=self.succeeded(server.name("plain")))

    def test_tag(self):
        self.at_every_call("tag", "kept:1", "other:2", after=self.succeeded("other:2"))

    def test_rm(self):
        self.ok("load", "-q", "-i", self.layout.folder)

        def after(root, again):
            if again.code:  # the first one had got so far
                self.assertIn("not in the store", again.err)
            self.assertEqual(self.names(root), ["kept:1"])

        self.at_every_call("rm", "layout:latest", after=after)

    def test_prune(self):
        for i in range(3):
            stray = noise(300, 1000 + i)
            with open(os.path.join(self.root, "blobs", "sha256", images.digest_of(stray)[7:]), "wb") as file:
                file.write(stray)

        def after(root, again):
            self.assertEqual(again.code, 0, str(again))
            self.assertEqual(self.blobs(root), self.kept)

        self.at_every_call("prune", after=after)

    def test_unpack(self):
        """A tree that is not whole is not there, or can be told from one that is."""
        layout = images.Layout(self.path("tree-image"))
        layout.image([Layer([entry("d/"), *[entry(f"d/{i}", b"%d" % i) for i in range(20)]])])
        self.ok("load", "-q", "-i", layout.folder)
        target = self.path("target")

        def after(root, again):
            program.remove_tree(target)
            self.ok("unpack", "-q", "tree-image:latest", target, root=root)
            self.assertEqual(len(os.listdir(os.path.join(target, "d"))), 20)
            program.remove_tree(target)

        def before_each(*arguments, **more):
            if more.get("before"):
                program.remove_tree(target)
            return program.Case.imgstore(self, *arguments, **more)

        self.imgstore = before_each
        self.at_every_call("unpack", "-q", "--workers", 0, "tree-image:latest", target, after=after)


if __name__ == "__main__":
    program.main(["strace"], None if program.lack_of(["strace"]) or strace_works() else "strace may not trace here")
