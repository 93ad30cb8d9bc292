"""Compares directory trees entry by entry."""
import hashlib
import os
import stat


def xattrs(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        if not name.startswith("security.selinux"):
            found[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    return found


def describe(path, times=True, owners=True):
    """What is to be equal, as a dictionary."""
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    seen = {"type": oct(kind), "mode": oct(stat.S_IMODE(st.st_mode)), "xattrs": xattrs(path)}
    if owners:
        seen["owner"] = (st.st_uid, st.st_gid)
    if times:
        seen["mtime"] = st.st_mtime_ns
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            seen["content"] = hashlib.sha256(file.read()).hexdigest()
        seen["size"] = st.st_size
    elif kind == stat.S_IFLNK:
        seen["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        seen["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    return seen


def scan(root, **what):
    """{path: description}. Hard links are told by the first path of their group."""
    root = os.fsencode(root)
    found, groups, todo = {}, {}, [b""]
    while todo:
        below = todo.pop()
        path = os.path.join(root, below) if below else root
        seen = describe(path, **what)
        st = os.lstat(path)
        if not stat.S_ISDIR(st.st_mode) and st.st_nlink > 1:
            groups.setdefault((st.st_dev, st.st_ino), []).append(below)
        found[below] = seen
        if stat.S_ISDIR(st.st_mode) and os.access(path, os.R_OK | os.X_OK):
            todo += [os.path.join(below, name) for name in os.listdir(path)]
    for paths in groups.values():
        for path in paths:
            found[path]["links"] = sorted(paths)
    return found


def differences(one, other, **what):
    """Lines that tell how the trees differ; none when they are equal."""
    a, b = scan(one, **what), scan(other, **what)
    lines = [f"only in {one}: {os.fsdecode(p)}" for p in sorted(set(a) - set(b))]
    lines += [f"only in {other}: {os.fsdecode(p)}" for p in sorted(set(b) - set(a))]
    for path in sorted(set(a) & set(b)):
        for key in sorted(set(a[path]) | set(b[path])):
            if a[path].get(key) != b[path].get(key):
                lines.append(f"{os.fsdecode(path) or '.'}: {key}: {a[path].get(key)} and {b[path].get(key)}")
    return lines
