/*
 * engine/policy_load.c (L4) - reads policy files and key files. What they mean is sign/'s.
 */
#include "engine/policy_load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { PIECE = 16 * 1024 };

static int32_t read_all(const ims_core *core, int fd, const char *path, ims_buf *out, ims_error *err) {
  struct stat st;
  ssize_t got = 1;
  if (core->sys->fstat(fd, &st))
    return ims_fail_os(err, errno, "%s", path);
  if (!S_ISREG(st.st_mode))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: is not a file", path);
  while (got > 0) {
    char piece[PIECE];
    got = core->sys->read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR)
      got = 1;
    else if (got < 0)
      return ims_fail_os(err, errno, "%s", path);
    else if (ims_buf_append(out, piece, (size_t)got))
      return out->failed == IMGSTORE_ELIMIT
                 ? ims_fail(err, IMGSTORE_ELIMIT, "%s: larger than %zu bytes", path, out->ceiling)
                 : ims_fail_nomem(err);
  }
  return IMGSTORE_OK;
}

static int32_t read_file(const ims_core *core, const char *path, ims_buf *out, ims_error *err) {
  int fd = core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    return ims_fail_os(err, errno, "%s", path);
  int32_t rc = read_all(core, fd, path, out, err);
  core->sys->close(fd);
  return rc;
}

typedef struct policy_place {
  const ims_core *core;
  const char *path;
} policy_place;

static int32_t read_key_file(void *data, const char *path, ims_buf *out, ims_error *err) {
  const policy_place *place = data;
  const char *slash = strrchr(place->path, '/');
  ims_buf whole;
  if (path[0] == '/' || !slash)
    return read_file(place->core, path, out, err);
  ims_buf_init(&whole, &place->core->alloc, 8192);
  ims_buf_append(&whole, place->path, (size_t)(slash - place->path) + 1);
  ims_buf_puts(&whole, path);
  int32_t rc = whole.failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "%.200s: the path is too long", path)
               : whole.failed                  ? ims_fail_nomem(err)
                                               : read_file(place->core, ims_buf_text(&whole), out, err);
  ims_buf_free(&whole);
  return rc;
}

int32_t ims_policy_load(imgstore_policy **policy, ims_core *core, const char *path, ims_error *err) {
  policy_place place = {core, path};
  ims_buf text;
  int32_t rc = ims_policy_new(policy, core, err);
  if (rc)
    return rc;
  ims_buf_init(&text, &core->alloc, IMS_POLICY_FILE_MAX);
  rc = read_file(core, path, &text, err);
  if (!rc)
    rc = ims_policy_read(*policy, ims_buf_text(&text), text.size, path, read_key_file, &place, err);
  ims_buf_free(&text);
  if (!rc)
    return IMGSTORE_OK;
  ims_policy_unref(*policy);
  *policy = NULL;
  return rc;
}

int32_t ims_policy_add_key_file(imgstore_policy *policy, ims_requirement *requirement, const char *path,
                                ims_error *err) {
  ims_buf pem;
  ims_buf_init(&pem, &policy->alloc, IMS_KEY_PEM_MAX);
  int32_t rc = read_file(policy->core, path, &pem, err);
  if (!rc)
    rc = ims_policy_add_key(policy, requirement, ims_buf_text(&pem), pem.size, path, err);
  ims_buf_free(&pem);
  return rc;
}
