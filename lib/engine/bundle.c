/*
 * engine/bundle.c (L4) - finding out what config.json takes (user, working directory, volumes), and putting it there.
 *
 * The root file system may be hostile: everything in it is opened as if it were "/", and made there only as a
 * directory. The bundle's directory is the caller's.
 */
#include "engine/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

enum { CONFIG_MAX = 16 << 20, MOST_VOLUMES = 1024, PATH_ROOM = 4096 };

#define CONFIG_FILE "config.json"
#define TEMP_FILE ".config.json.new"
#define VOLUMES "volumes"

/* --- directories inside the root ---------------------------------------------------------------------------------- */

static int make_in_root(const ims_bundle *b, int parent, const char *name) {
  const ims_sys *sys = b->core->sys;
  if (sys->mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
    return errno;
  return 0;
}

/* Makes what is missing of path, one component after the other; each is looked up from the root, so that links on the
   way mean what they mean inside. */
static int make_path(const ims_bundle *b, char *path) {
  const ims_sys *sys = b->core->sys;
  int failed = 0;
  for (char *at = path; *at && !failed;) {
    at += strspn(at, "/");
    size_t size = strcspn(at, "/");
    if (!size)
      break;
    char name[256], kept = *at;
    if (size >= sizeof name)
      return ENAMETOOLONG;
    memcpy(name, at, size);
    name[size] = '\0';
    *at = '\0';
    int parent = ims_open_in_root(sys, b->root, *path ? path : "/", O_RDONLY | O_DIRECTORY);
    failed = parent < 0 ? errno : 0;
    *at = kept;
    if (!failed && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
      failed = make_in_root(b, parent, name);
    if (parent >= 0)
      sys->close(parent);
    at += size;
  }
  return failed;
}

/* Opens the directory, making it first when it is not there. */
static int32_t need_directory(const ims_bundle *b, const char *path, int *fd, ims_error *err) {
  const ims_sys *sys = b->core->sys;
  char *copy = ims_strdup(&b->core->alloc, path);
  if (!copy)
    return ims_fail_nomem(err);
  *fd = ims_open_in_root(sys, b->root, path, O_PATH | O_DIRECTORY);
  int failed = *fd < 0 ? errno : 0;
  if (failed == ENOENT) {
    failed = make_path(b, copy);
    *fd = failed ? -1 : ims_open_in_root(sys, b->root, path, O_PATH | O_DIRECTORY);
    failed = failed ? failed : *fd < 0 ? errno : 0;
  }
  ims_free(&b->core->alloc, copy);
  if (failed == ENOTDIR)
    return ims_fail(err, IMGSTORE_EFORMAT, "rootfs %s: %s is not a directory in it", b->name, path);
  return failed ? ims_fail_os(err, failed, "rootfs %s: cannot make the directory %s in it", b->name, path)
                : IMGSTORE_OK;
}

static int32_t choose_cwd(const ims_bundle *b, ims_bundle_facts *facts, ims_error *err) {
  int fd;
  const char *cwd = b->options->cwd ? b->options->cwd : b->config->text[IMGSTORE_IMAGE_WORKING_DIR];
  facts->cwd = *cwd ? cwd : "/";
  if (facts->cwd[0] != '/')
    return ims_fail(err, b->options->cwd ? IMGSTORE_EINVALID : IMGSTORE_EFORMAT,
                    "rootfs %s: working directory \"%.200s\" is not absolute", b->name, facts->cwd);
  int32_t rc = need_directory(b, facts->cwd, &fd, err);
  if (!rc)
    b->core->sys->close(fd);
  return rc;
}

/* --- volumes ------------------------------------------------------------------------------------------------------ */

static bool has_dot_dot(const char *path) {
  while (*path) {
    path += strspn(path, "/");
    size_t size = strcspn(path, "/");
    if (size == 2 && path[0] == '.' && path[1] == '.')
      return true;
    path += size;
  }
  return false;
}

/* Owner and mode of the directory that the volume hides: programs expect them. What the system refuses stays. */
static int32_t copy_owner(const ims_bundle *b, int from, int volumes, const char *name, ims_error *err) {
  const ims_sys *sys = b->core->sys;
  struct stat st;
  int to = sys->openat(volumes, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (to < 0)
    return ims_fail_os(err, errno, "bundle: cannot open %s/%s", VOLUMES, name);
  int failed = sys->fstat(from, &st) != 0 ? errno : 0;
  if (!failed && sys->fchown(to, st.st_uid, st.st_gid) != 0 && errno != EPERM && errno != EINVAL)
    failed = errno;
  if (!failed && sys->fchmod(to, st.st_mode & 07777) != 0)
    failed = errno;
  sys->close(to);
  return failed ? ims_fail_os(err, failed, "bundle: cannot set the owner of %s/%s", VOLUMES, name) : IMGSTORE_OK;
}

static int32_t add_volume(const ims_bundle *b, ims_bundle_facts *facts, int volumes, const char *base, const char *path,
                          ims_error *err) {
  ims_buf source;
  char name[24];
  int hidden;
  if (path[0] != '/' || !path[strspn(path, "/")] || has_dot_dot(path))
    return ims_fail(err, IMGSTORE_EFORMAT, "image config: volume \"%.200s\" is not an absolute path", path);
  int32_t rc = need_directory(b, path, &hidden, err);
  if (rc)
    return rc;
  snprintf(name, sizeof name, "%zu", facts->volume_count);
  if (b->core->sys->mkdirat(volumes, name, 0755) != 0 && errno != EEXIST)
    rc = ims_fail_os(err, errno, "bundle: cannot make %s/%s", VOLUMES, name);
  if (!rc)
    rc = copy_owner(b, hidden, volumes, name, err);
  b->core->sys->close(hidden);
  if (rc)
    return rc;
  ims_buf_init(&source, &b->core->alloc, 2 * PATH_ROOM);
  ims_buf_printf(&source, "%s/%s/%s", base, VOLUMES, name);
  facts->volumes[facts->volume_count].path = path;
  facts->volumes[facts->volume_count].source = ims_buf_detach(&source, NULL);
  if (!facts->volumes[facts->volume_count].source)
    return ims_fail_nomem(err);
  facts->volume_count++;
  return IMGSTORE_OK;
}

static int32_t add_volumes(const ims_bundle *b, ims_bundle_facts *facts, int directory, const char *base,
                           ims_error *err) {
  const ims_sys *sys = b->core->sys;
  const ims_list *list = &b->config->list[IMGSTORE_IMAGE_VOLUMES];
  if (!list->count)
    return IMGSTORE_OK;
  if (list->count > MOST_VOLUMES)
    return ims_fail(err, IMGSTORE_ELIMIT, "image config: more than %d volumes", MOST_VOLUMES);
  facts->volumes = ims_calloc(&b->core->alloc, list->count, sizeof *facts->volumes);
  if (!facts->volumes)
    return ims_fail_nomem(err);
  if (sys->mkdirat(directory, VOLUMES, 0711) != 0 && errno != EEXIST)
    return ims_fail_os(err, errno, "bundle: cannot make %s", VOLUMES);
  int volumes = sys->openat(directory, VOLUMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (volumes < 0)
    return ims_fail_os(err, errno, "bundle: cannot open %s", VOLUMES);
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < list->count && !rc; i++)
    rc = add_volume(b, facts, volumes, base, list->items[i].value, err);
  sys->close(volumes);
  return rc;
}

/* --- the bundle's directory --------------------------------------------------------------------------------------- */

static int32_t open_bundle(const ims_bundle *b, const char *path, int *fd, char base[PATH_ROOM], ims_error *err) {
  const ims_sys *sys = b->core->sys;
  char proc[40];
  if (sys->mkdirat(AT_FDCWD, path, 0700) != 0 && errno != EEXIST)
    return ims_fail_os(err, errno, "bundle %s: cannot create", path);
  *fd = sys->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (*fd < 0)
    return errno == ENOTDIR ? ims_fail(err, IMGSTORE_EINVALID, "bundle %s: not a directory", path)
                            : ims_fail_os(err, errno, "bundle %s: cannot open", path);
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", *fd);
  ssize_t size = sys->readlinkat(AT_FDCWD, proc, base, PATH_ROOM - 1);
  if (size > 0)
    base[size] = '\0';
  if (size > 0 && base[0] == '/')
    return IMGSTORE_OK;
  int failed = size < 0 ? errno : ENAMETOOLONG;
  sys->close(*fd);
  *fd = -1;
  return ims_fail_os(err, failed, "bundle %s: cannot find its absolute path", path);
}

static int write_all(const ims_sys *sys, int fd, const char *data, size_t size) {
  while (size) {
    ssize_t wrote = sys->write(fd, data, size);
    if (wrote < 0 && errno != EINTR)
      return errno;
    data += wrote > 0 ? wrote : 0;
    size -= wrote > 0 ? (size_t)wrote : 0;
  }
  return 0;
}

/* A reader sees the old file or the whole new one. */
static int32_t put_config(const ims_bundle *b, int directory, const ims_buf *text, ims_error *err) {
  const ims_sys *sys = b->core->sys;
  sys->unlinkat(directory, TEMP_FILE, 0);
  int fd = sys->openat(directory, TEMP_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return ims_fail_os(err, errno, "bundle: cannot make " CONFIG_FILE);
  int failed = write_all(sys, fd, ims_buf_text(text), text->size);
  if (sys->close(fd) != 0 && !failed)
    failed = errno;
  if (!failed && sys->renameat2(directory, TEMP_FILE, directory, CONFIG_FILE, 0) != 0)
    failed = errno;
  if (failed)
    sys->unlinkat(directory, TEMP_FILE, 0);
  return failed ? ims_fail_os(err, failed, "bundle: cannot write " CONFIG_FILE) : IMGSTORE_OK;
}

/* --- everything --------------------------------------------------------------------------------------------------- */

static int32_t check_mapped(const ims_bundle *b, const ims_user *user, ims_error *err) {
  if (!ims_bundle_maps(b->uid_map, b->uid_map_count, user->uid))
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: user %u is not in the id map", b->name, user->uid);
  if (!ims_bundle_maps(b->gid_map, b->gid_map_count, user->gid))
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: group %u is not in the id map", b->name, user->gid);
  return IMGSTORE_OK;
}

static int32_t write_config(const ims_bundle *b, const ims_bundle_facts *facts, int directory, ims_error *err) {
  ims_buf text, pretty;
  ims_buf_init(&text, &b->core->alloc, CONFIG_MAX);
  ims_buf_init(&pretty, &b->core->alloc, (size_t)CONFIG_MAX * 4);
  int32_t rc = ims_bundle_config(b, facts, &text, err);
  if (!rc) {
    ims_json_pretty(&pretty, ims_buf_text(&text), text.size, 0);
    ims_buf_putc(&pretty, '\n');
    rc = pretty.failed ? ims_fail_nomem(err) : put_config(b, directory, &pretty, err);
  }
  ims_buf_free(&text);
  ims_buf_free(&pretty);
  return rc;
}

int32_t ims_bundle_write(const ims_bundle *bundle, const char *directory, ims_error *err) {
  const ims_core *core = bundle->core;
  char base[PATH_ROOM];
  int fd = -1;
  ims_bundle_facts facts;
  memset(&facts, 0, sizeof facts);
  facts.user.alloc = &core->alloc;
  const char *user = bundle->options->user ? bundle->options->user : bundle->config->text[IMGSTORE_IMAGE_USER];
  int32_t rc = ims_user_find(&facts.user, core, bundle->root, user, err);
  if (!rc)
    rc = check_mapped(bundle, &facts.user, err);
  if (!rc)
    rc = choose_cwd(bundle, &facts, err);
  if (!rc)
    rc = open_bundle(bundle, directory, &fd, base, err);
  if (!rc)
    rc = add_volumes(bundle, &facts, fd, base, err);
  if (!rc)
    rc = write_config(bundle, &facts, fd, err);
  if (fd >= 0)
    core->sys->close(fd);
  for (size_t i = 0; i < facts.volume_count; i++)
    ims_free(&core->alloc, facts.volumes[i].source);
  ims_free(&core->alloc, facts.volumes);
  ims_user_free(&facts.user);
  return rc;
}
