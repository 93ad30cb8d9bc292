"""Runs the program under test: the base class of the integration tests, and their main()."""
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

IMGSTORE = os.environ.get("IMGSTORE", "imgstore")
LIBRARY = os.environ.get("IMGSTORE_LIB")
SANITIZED = os.environ.get("SANITIZED", "") == "true"
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
SKIPPED = 77
REPORTS = re.compile(r"Sanitizer|runtime error:|Assertion|==\d+==")
# What of the caller's environment reaches a program; no proxy, no credentials, no home.
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
        "LSAN_OPTIONS", "ASAN_SYMBOLIZER_PATH")


class Result:
    """What a run gave: .code, .out and .err as text, .raw as bytes."""

    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.raw = arguments, code, out
        self.out = out.decode("utf-8", "surrogateescape")
        self.err = err.decode("utf-8", "surrogateescape")

    def __str__(self):
        return f"{' '.join(map(str, self.arguments))}\nexit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


def skip_in_chroot(arguments, errors):
    """podman and buildah unpack layers in a root that they make private first, which must be a mount point."""
    if b"remount /" in errors:
        raise unittest.SkipTest(f"{arguments[0]} does not run in a chroot")


def run_tool(*arguments, timeout=120, **more):
    """Runs somebody else's tool, which must succeed. Returns its standard output."""
    done = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=timeout, check=False, **more)
    if done.returncode:
        skip_in_chroot(arguments, done.stderr)
        raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


def remove_tree(path):
    """Also trees with folders that their owner may not enter."""
    if os.path.islink(path) or not os.path.isdir(path):
        return
    if not IS_ROOT:
        for folder, names, _ in os.walk(path):
            for name in names:
                below = os.path.join(folder, name)
                if not os.path.islink(below):
                    os.chmod(below, stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


class Case(unittest.TestCase):
    """A test with a folder of its own, a store in it, and the program."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="imgstore-test-")
        self.addCleanup(remove_tree, self.dir)
        self.root = os.path.join(self.dir, "store")
        self.home = os.path.join(self.dir, "home")
        os.mkdir(self.home)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, content, mode=0o644):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(self.path(name), mode)
        return self.path(name)

    # --- running ---

    def environment(self, more=None):
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env.update(HOME=self.home, DOCKER_CONFIG=os.path.join(self.home, ".docker"), TERM="dumb", LC_ALL="C.UTF-8")
        env.update(more or {})
        return {name: value for name, value in env.items() if value is not None}

    def readable_by_all(self, *programs):
        """Copies programs, and the library, to where every user can run them, wherever the build is. Returns the
        paths of the copies; LD_LIBRARY_PATH is their folder."""
        folder = self.path("program")
        os.chmod(self.dir, 0o755)
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        shutil.copy(LIBRARY, os.path.join(folder, "libimgstore.so.0"))
        return [shutil.copy(path, folder) for path in programs]

    def command(self, arguments, root=None):
        return [IMGSTORE, "--root", root or self.root, *map(str, arguments)]

    def imgstore(self, *arguments, root=None, env=None, data=b"", timeout=60, before=()):
        """Runs the program to its end. before: words of a command that runs it."""
        line = [*before, *self.command(arguments, root)]
        with subprocess.Popen(line, env=self.environment(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                out, err = process.communicate(data, timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                self.fail(f"ran longer than {timeout} s: {Result(line, 'killed', out, err)}")
        result = Result(line, process.returncode, out, err)
        self.assertIsNone(REPORTS.search(result.err), str(result))
        return result

    def start(self, *arguments, root=None, env=None, stdin=subprocess.DEVNULL):
        """Starts the program and does not wait for it."""
        process = subprocess.Popen(self.command(arguments, root), env=self.environment(env), stdin=stdin,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def ok(self, *arguments, **more):
        """The program succeeds. Returns standard output."""
        result = self.imgstore(*arguments, **more)
        self.assertEqual(result.code, 0, str(result))
        return result.out

    def fails(self, *arguments, naming=(), code=1, **more):
        """The program fails with one line of error that names what it is about. Returns that line."""
        result = self.imgstore(*arguments, **more)
        self.assertEqual(result.code, code, str(result))
        errors = [line for line in result.err.splitlines() if line.startswith("imgstore:")]
        self.assertEqual(len(errors), 1, str(result))
        self.assertTrue(result.err.rstrip("\n").endswith(errors[0]), str(result))
        self.assertLess(len(errors[0]), 1600, str(result))
        for name in [naming] if isinstance(naming, str) else naming:
            self.assertRegex(errors[0], name, str(result))
        return errors[0]

    # --- what a store must look like ---

    def names(self, root=None):
        """The images that the store has, as ls shows them."""
        lines = [json.loads(line) for line in self.ok("ls", "--format", "json", root=root).splitlines()]
        return sorted(f'{line["Repository"]}:{line["Tag"]}' for line in lines)

    def blobs(self, root=None):
        folder = os.path.join(root or self.root, "blobs", "sha256")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def index(self, root=None):
        with open(os.path.join(root or self.root, "index.json"), encoding="utf-8") as file:
            return json.load(file)["manifests"]

    def assert_sound(self, root=None):
        """Everything in the store hashes to its name."""
        result = self.imgstore("verify", "--full", root=root)
        self.assertEqual((result.code, result.out), (0, ""), str(result))

    def assert_clean(self, root=None):
        """Nothing is left behind but locks, remembered checks, and what may be resumed."""
        private = os.path.join(root or self.root, ".imgstore")
        for folder in ("leases", "trash", "quarantine"):
            where = os.path.join(private, folder)
            self.assertEqual(os.listdir(where) if os.path.isdir(where) else [], [], folder)
        known = {"blobs", "index.json", "oci-layout", ".imgstore"}
        self.assertEqual(set(os.listdir(root or self.root)) - known, set())


def lack_of(tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    return f"not installed: {' '.join(missing)}" if missing else None


def main(tools=(), skip=None):
    """Runs the tests of the calling module; says something only when one fails, or why none was run."""
    reason = skip or lack_of(tools)
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    stream = io.StringIO()
    program = unittest.main(exit=False, testRunner=unittest.TextTestRunner(stream, verbosity=2))
    if not program.result.wasSuccessful():
        sys.stderr.write(stream.getvalue())
        sys.exit(1)
    if program.result.testsRun and len(program.result.skipped) == program.result.testsRun:
        print(f"skipped: {program.result.skipped[0][1]}")
        sys.exit(SKIPPED)
