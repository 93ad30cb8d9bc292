"""Layer directories: mounted on each other they are what unpack gives; kills, limits, full disks, two processes."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import trees
from images import Layer, entry, hardlink, link, noise

DRIVER = os.environ["LAYERS_DRIVER"]
# Calls that change what is on disk, or that others see.
CALLS = ("mkdirat", "openat", "pwrite64", "unlinkat", "renameat2", "linkat", "symlinkat", "mknodat", "flock", "syncfs",
         "fsync", "utimensat", "fchmod", "setxattr", "fsetxattr", "close")
SAMPLE = 60 if not program.SANITIZED else 8

USAGE, LAYER_DIR = "11", "21"  # IMGSTORE_REPORT_*, as the driver prints them


def stack():
    """Layers with all that an overlay has to say: whiteouts, opaque directories, links through layers, copies."""
    return [
        Layer([entry("etc/", mode=0o750, mtime=5), entry("etc/a", noise(70000)), entry("etc/b", b"b"),
               entry("usr/lib/x", b"x"), link("lib", "usr/lib"), entry("old/", mtime=7), entry("old/1", b"1")]),
        Layer([entry("etc/.wh.a"), entry("deep/down/file", b"new"), entry("old/.wh..wh..opq"), entry("old/2", b"2")]),
        Layer([entry("lib/through", b"t"), hardlink("copy", "etc/b"), entry("none/.wh.nothing")]),
        Layer([entry("etc/c", noise(30000, 3)), entry(".wh.copy")]),
    ]


class Layers(program.Case):
    def setUp(self):
        super().setUp()
        layout = images.Layout(self.path("layout"))
        layout.image(stack(), "1")
        self.ok("load", "-q", "-i", layout.folder)
        self.name = self.names()[0]
        self.rootfs = os.path.join(self.root, ".imgstore", "rootfs")

    def drive(self, job, *words, root=None, before=(), env=None, driver=DRIVER):
        done = subprocess.run([*before, driver, job, root or self.root, *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=120,
                              env={**os.environ, **(env or {})})
        return done.returncode, done.stdout.splitlines(), done.stderr

    def apply(self, *words, **more):
        code, lines, err = self.drive("apply", self.name, *words, **more)
        self.assertEqual(code, 0, err)
        return lines

    def layer_dirs(self, folder=None):
        """Roots of the layer directories, the uppermost first: told by what lies in them."""
        code, lines, err = self.drive("usage", *([f"dir={folder}"] if folder else []))
        self.assertEqual(code, 0, err)
        parents, names = {}, {}
        for path in glob.glob(os.path.join(folder or self.rootfs, "layers", "*", "record.json")):
            record = program.json.load(open(path, encoding="utf-8"))
            parents[record["chainID"]] = record.get("parent")
            names[record["chainID"]] = os.path.join(os.path.dirname(path), "root")
        self.assertEqual(len([line for line in lines if line.split(" ")[0] == LAYER_DIR]), len(names))
        chain = [c for c in names if c not in parents.values()]
        self.assertEqual(len(chain), 1)
        while parents[chain[-1]]:
            chain.append(parents[chain[-1]])
        return [names[c] for c in chain]

    def merged(self, folder=None):
        target = self.path("merged")
        os.makedirs(target, exist_ok=True)
        done = subprocess.run(["mount", "-t", "overlay", "-o", "ro,lowerdir=" + ":".join(self.layer_dirs(folder)),
                               "overlay", target], stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            self.skipTest("overlay mounts are not permitted here")
        self.addCleanup(subprocess.run, ["umount", target], check=False)
        return target

    def assert_same_as_unpacked(self, folder=None):
        target = self.path("unpacked")
        program.remove_tree(target)
        self.ok("unpack", self.name, target)
        merged = self.merged(folder)
        found = [line for line in trees.differences(target, merged)
                 if ": mtime:" not in line or not line.startswith(("deep", "usr", "copy", ".:"))]
        subprocess.run(["umount", merged], check=True)
        self.assertEqual([line for line in found if ": links:" not in line], [])

    def assert_nothing_left(self, folder=None):
        for name in ("staging", "trash", "leases"):
            self.assertEqual(os.listdir(os.path.join(folder or self.rootfs, name)), [])

    def test_merged(self):
        self.apply()
        self.assert_nothing_left()
        self.assert_same_as_unpacked()
        made = {path: os.lstat(path).st_ino for path in glob.glob(os.path.join(self.rootfs, "layers", "*"))}
        self.apply("workers=2")
        self.assertEqual(made, {path: os.lstat(path).st_ino for path in glob.glob(os.path.join(self.rootfs, "layers", "*"))})

    def test_workers(self):
        self.apply("workers=2", "dir=" + self.path("elsewhere"))
        self.assert_same_as_unpacked(self.path("elsewhere"))

    def test_two_processes(self):
        started = [subprocess.Popen([DRIVER, "apply", self.root, self.name, "workers=1"], stderr=subprocess.PIPE)
                   for _ in range(4)]
        for process in started:
            self.assertEqual(process.wait(60), 0, process.stderr.read())
            process.stderr.close()
        self.assert_nothing_left()
        self.assert_same_as_unpacked()

    def test_usage_and_prune(self):
        self.apply()
        other = images.Layout(self.path("other"))
        other.image(stack()[:2] + [Layer([entry("more", b"12345")])], "2")
        self.ok("load", "-q", "-i", other.folder)
        second = [n for n in self.names() if n != self.name][0]
        self.assertEqual(self.drive("apply", second)[0], 0)
        lines = [line.split(" ") for line in self.drive("usage")[1]]
        sizes = {line[1].replace("docker.io/library/", ""): (int(line[3]), int(line[4]), int(line[5])) for line in lines if line[0] == USAGE}
        dirs = [line for line in lines if line[0] == LAYER_DIR]
        self.assertEqual(len(dirs), 5)
        shared = sum(int(line[3]) for line in dirs if int(line[4]))
        self.assertEqual(len([line for line in dirs if int(line[4])]), 2)
        self.assertEqual(sizes[second][:2], (shared + 5, shared))
        self.assertEqual(sizes[self.name][1], shared)
        self.assertEqual(sizes[""][0], sum(int(line[3]) for line in dirs))
        for line in dirs:  # the numbers are those of the directory
            top, count, size = os.path.join(self.rootfs, "layers", line[1], "root"), 0, 0
            seen = set()
            for where, folders, files in os.walk(top):
                for name in folders + files:
                    st = os.lstat(os.path.join(where, name))
                    if st.st_ino not in seen:
                        count += 1
                        size += st.st_size if not os.path.isdir(os.path.join(where, name)) or os.path.islink(
                            os.path.join(where, name)) else 0
                        seen.add(st.st_ino)
            self.assertEqual((int(line[3]), int(line[5])), (size, count))
        self.ok("rm", second)
        self.assertEqual(len(os.listdir(os.path.join(self.rootfs, "layers"))), 4)
        self.write(os.path.join(self.rootfs, "layers", "stranger"), "not ours")
        self.ok("rm", self.name)
        self.assertEqual(os.listdir(os.path.join(self.rootfs, "layers")), ["stranger"])
        self.assertIn("9 stranger", "\n".join(self.drive("prune")[1]))
        self.assert_nothing_left()

    def test_limits(self):
        code, _, err = self.drive("apply", self.name, "bytes=70001")
        self.assertEqual(code, 1)
        self.assertRegex(err, r'-10 layer sha256:[0-9a-f]{64}: entry ".*": more than 70001 bytes')
        self.assertEqual(os.listdir(os.path.join(self.rootfs, "layers")), [])
        self.assert_nothing_left()
        code, _, err = self.drive("apply", self.name, "inodes=8")
        self.assertRegex(err, r"-10 layer .*more than 8 files")
        self.apply("bytes=200000", "inodes=40")

    def test_read_only(self):
        self.assertIn("-3 ", self.drive("apply", self.name, "readonly=1")[2])
        self.apply()
        before = program.run_tool("find", self.rootfs, "-printf", "%p %T@\n")
        self.assertEqual(self.drive("apply", self.name, "readonly=1")[0], 0)
        self.assertIn("read-only", self.drive("prune", "readonly=1")[2])
        self.assertEqual(before, program.run_tool("find", self.rootfs, "-printf", "%p %T@\n"))

    def test_foreign_directory(self):
        os.mkdir(self.path("full"))
        self.write(self.path("full", "something"), "else")
        code, _, err = self.drive("apply", self.name, "dir=" + self.path("full"))
        self.assertEqual((code, os.listdir(self.path("full"))), (1, ["something"]))
        self.assertIn("holds something else", err)

    def small_disk(self, *options):
        target = self.path("small")
        os.mkdir(target)
        done = subprocess.run(["mount", *options, target], stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            self.skipTest("mounts are not permitted here")
        self.addCleanup(subprocess.run, ["umount", "-l", target], check=False)
        return os.path.join(target, "rootfs")

    def check_full(self, folder):
        code, _, err = self.drive("apply", self.name, "dir=" + folder)
        self.assertEqual(code, 1)
        self.assertTrue(err.startswith("-15 "), err)
        self.assertEqual(os.listdir(os.path.join(folder, "layers")), [])
        self.assertEqual(self.drive("prune", "dir=" + folder)[0], 0)
        self.assert_nothing_left(folder)

    def test_full_tmpfs(self):
        self.check_full(self.small_disk("-t", "tmpfs", "-o", "size=90k", "tmpfs"))

    def test_no_inodes(self):
        self.check_full(self.small_disk("-t", "tmpfs", "-o", "nr_inodes=24", "tmpfs"))

    def test_full_ext4(self):
        image = self.path("disk")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        if program.lack_of(["mkfs.ext4"]):
            self.skipTest(program.lack_of(["mkfs.ext4"]))
        program.run_tool("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image)
        folder = self.small_disk("-o", "loop", image)
        self.apply("dir=" + folder)
        with open(os.path.join(os.path.dirname(folder), "fill"), "wb") as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
                    file.flush()
            except OSError:
                pass
        other = images.Layout(self.path("other"))
        other.image([Layer([entry(f"f{i}", noise(5000, i)) for i in range(40)])], "2")
        self.ok("load", "-q", "-i", other.folder)
        second = [n for n in self.names() if n != self.name][0]
        code, _, err = self.drive("apply", second, "dir=" + folder)
        self.assertTrue(code and err.startswith("-15 "), err)
        self.ok("rm", self.name)
        self.assertEqual(self.drive("prune", "dir=" + folder)[0], 0)
        self.assertEqual(os.listdir(os.path.join(folder, "layers")), [])
        os.unlink(os.path.join(os.path.dirname(folder), "fill"))
        code, _, err = self.drive("apply", second, "dir=" + folder)
        self.assertEqual(code, 0, err)

    def test_ordinary_user(self):
        target = self.path("user")
        program.run_tool("cp", "-a", self.root, target)
        program.run_tool("chown", "-R", f"{program.NOBODY}:{program.NOBODY}", target)
        driver = self.readable_by_all(DRIVER)[0]
        how = {"root": target, "before": program.AS_NOBODY, "driver": driver,
               "env": {"LD_LIBRARY_PATH": os.path.dirname(driver)}}
        code, lines, err = self.drive("apply", self.name, **how)
        self.assertEqual(code, 0, err)
        changed = [line for line in lines if line.startswith("10 ")]
        self.assertTrue(changed)
        self.assertIn("owner 0:0 not set", changed[0])
        again = self.drive("apply", self.name, **how)[1]
        self.assertEqual(sorted(again), sorted(lines))  # what was changed is told every time
        self.assertTrue(all("-u-" in n for n in os.listdir(os.path.join(target, ".imgstore", "rootfs", "layers"))))

    def calls_of(self):
        log, made, calls = self.path("trace"), {}, []
        self.apply("dir=" + self.path("counted"), before=self.strace(log, "trace=" + ",".join(CALLS)),
                   env={"ASAN_OPTIONS": "detect_leaks=0"})  # the leak checker does not work under ptrace
        with open(log, encoding="utf-8", errors="replace") as file:
            for text in file:
                call = text.split("(")[0].split(" ")[-1]
                if call in CALLS:
                    made[call] = made.get(call, 0) + 1
                    calls.append((call, made[call]))
        return calls

    @staticmethod
    def strace(log, *what):
        return ["strace", "-f", "-qq", "-o", log, "-e", "signal=none", *[word for w in what for word in ("-e", w)]]

    def test_killed(self):
        if program.lack_of(["strace"]):
            self.skipTest("not installed: strace")
        calls, killed, every = self.calls_of(), 0, os.environ.get("EVERY_CALL")
        step = 1 if every else max(1, len(calls) // SAMPLE)
        for at in sorted({*range(len(calls) % step, len(calls), step), len(calls) - 1}):
            name, nth = calls[at]
            folder = self.path(f"killed{at}")
            with self.subTest(f"call {at} of {len(calls)}: {name} number {nth}"):
                code, _, _ = self.drive("apply", self.name, "dir=" + folder, env={"ASAN_OPTIONS": "detect_leaks=0"},
                                        before=self.strace("/dev/null", "trace=" + name,
                                                           f"inject={name}:signal=KILL:when={nth}"))
                killed += code in (-9, 137)
                if os.path.isdir(os.path.join(folder, "layers")):
                    for layer in os.listdir(os.path.join(folder, "layers")):  # what is there is complete
                        self.assertTrue(os.path.isfile(os.path.join(folder, "layers", layer, "record.json")))
                self.apply("dir=" + folder)
                self.assert_nothing_left(folder)
                self.assertEqual(trees.differences(os.path.join(self.path("counted"), "layers"),
                                                   os.path.join(folder, "layers"), times=False), [])
                program.remove_tree(folder)
        self.assertGreater(killed, min(len(calls), SAMPLE) // 2)


if __name__ == "__main__":
    program.main(skip=None if os.geteuid() == 0 else "needs to be root")
