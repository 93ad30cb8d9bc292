#!/usr/bin/env python3
"""Kills a store's writer (SIGKILL) at every system call and checks what is left after each.

usage: kill_at_every_syscall.py STORE_DRIVER

After every kill the store must open, everything that was reported as committed must be there, whole and verified, and
the writer must run through when it is started again. Needs strace with injection; skipped (77) without.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

CALLS = ["mkdirat", "openat", "flock", "pwrite64", "ftruncate", "fallocate", "fchmod", "fdatasync", "fsync",
         "renameat2", "unlinkat", "getdents64", "close", "write"]
MOST = 2000


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def can_inject():
    if not shutil.which("strace"):
        skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", "/dev/null", "-e", "trace=write", "-e", "inject=write:signal=KILL:when=1",
                            "echo", "x"], capture_output=True)
    if probe.returncode not in (-signal.SIGKILL, 128 + signal.SIGKILL):
        skip("strace may not inject signals here")


def run_killed(driver, store, call, n):
    """Returns (was it killed, the steps that were done)."""
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=" + call,
                           "-e", "inject=%s:signal=KILL:when=%d" % (call, n), driver, "run", store],
                          capture_output=True, text=True)
    killed = done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    if not killed and done.returncode != 0:
        sys.exit("%s %d: the writer failed: %s" % (call, n, done.stderr))
    return killed, done.stdout.split()


def must(command, where):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit("%s: %s: %s%s" % (where, command[1], result.stdout, result.stderr))


def main():
    driver = sys.argv[1]
    can_inject()
    base = os.environ.get("TMPDIR") or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
    kills = 0
    with tempfile.TemporaryDirectory(dir=base) as top:
        for call in CALLS:
            for n in range(1, MOST):
                store = os.path.join(top, "%s-%d" % (call, n), "store")
                os.mkdir(os.path.dirname(store))
                killed, steps = run_killed(driver, store, call, n)
                where = "killed at %s %d after %s" % (call, n, steps)
                must([driver, "check", store] + steps, where)
                if not killed:
                    break
                kills += 1
                must([driver, "run", store], where)
                must([driver, "check", store, "created", "a", "b", "c", "not-b"], where)
                shutil.rmtree(os.path.dirname(store))
    print("%d kills, nothing lost" % kills)
    if kills < 100:
        sys.exit("too few kills to prove anything")


main()
