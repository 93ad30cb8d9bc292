"""The example for Python: ctypes and the shared library pull and inspect an image."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import images
import program
import registry

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "python", "imgstore.py")


class Example(program.Case):
    def setUp(self):
        super().setUp()
        self.layout = images.simple(self.path("layout"), 3)
        self.server = registry.FaultServer(self.path("server"), self.layout.folder)
        self.addCleanup(self.server.stop)

    def run_example(self, *arguments):
        return subprocess.run([sys.executable, EXAMPLE, "--library", program.LIBRARY, "--root", self.root, *arguments],
                              env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False,
                              encoding="utf-8")

    def test_pull_and_inspect(self):
        for again in (False, True):
            done = self.run_example("--plain-http", self.server.name("plain"))
            self.assertEqual(done.returncode, 0, done.stderr)
            inspected = json.loads(done.stdout)
            inspected = inspected[0] if isinstance(inspected, list) else inspected
            self.assertEqual(inspected["RepoTags"], [self.server.name("plain")])
            self.assertEqual(len(inspected["RootFS"]["Layers"]), 3)
            words = "already exists" if again else "downloaded"
            self.assertEqual(len(re.findall(f"sha256:[0-9a-f]{{64}} {words}", done.stderr)), 3, done.stderr)
        self.assertEqual(json.loads(self.ok("inspect", self.server.name("plain")))[0], inspected)
        self.assert_sound()

    def test_failure_is_an_exception(self):
        done = self.run_example("--plain-http", self.server.name("plain", "nosuch"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^imgstore\.py: .*nosuch")
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_name_that_is_none(self):
        done = self.run_example("Not/A/Name")
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)


if __name__ == "__main__":
    program.main(skip="the library is instrumented, Python is not" if program.SANITIZED else
                 None if program.LIBRARY and os.path.exists(program.LIBRARY) else "IMGSTORE_LIB is not the built library")
