/* tests/unit/stack_fixture.c - see stack_fixture.h. */
#include "stack_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static const char *opaque_name(const stack *k) {
  return k->trusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

static int32_t feed(ims_apply *a, const char *text, size_t chunk, ims_error *err) {
  ims_buf bytes;
  layer_bytes(text, &bytes);
  int32_t rc = ims_apply_begin_layer(a, err);
  for (size_t at = 0; at < bytes.size && !rc; at += chunk) {
    size_t size = bytes.size - at < chunk ? bytes.size - at : chunk;
    rc = ims_apply_feed(a, (const uint8_t *)bytes.data + at, size, err);
  }
  ims_buf_free(&bytes);
  return rc ? rc : ims_apply_end_layer(a, err);
}

static ims_lower_view view_below(const stack *k, size_t i) {
  return (ims_lower_view){.alloc = &k->s->core->alloc,
                          .sys = k->s->core->sys,
                          .opaque_name = opaque_name(k),
                          .layers = (ims_lower *)&k->lower[k->count - i],
                          .count = i};
}

static int32_t begin(stack *k, size_t i, const char *layer, const ims_lower_view *view) {
  ims_layer_setup setup = {.opaque_name = i ? opaque_name(k) : NULL, .view = i ? view : NULL, .quota = &k->quota};
  int32_t rc =
      ims_apply_new_layer(&k->apply[i], k->s->core, k->fd[i], &k->s->options, k->s->report, &setup, &k->s->err);
  return rc ? rc : feed(k->apply[i], layer, k->s->chunk, &k->s->err);
}

static int32_t redo(stack *k, size_t i, const char *layer) {
  ims_lower_view view = view_below(k, i);
  ims_core plain = *k->s->core;
  ims_error err = IMS_ERROR_INIT;
  plain.sys = &ims_sys_default;
  plain.alloc = ims_alloc_default;
  assert_true(ims_apply_is_unsure(k->apply[i]));
  assert_string_equal(k->s->err.message, "");
  ims_apply_free(k->apply[i]);
  k->apply[i] = NULL;
  assert_int_equal(ims_tree_remove(&plain, k->fd[i], &err), IMGSTORE_OK);
  fchown(k->fd[i], geteuid(), getegid());
  fchmod(k->fd[i], 0755);
  k->redone++;
  return begin(k, i, layer, &view);
}

static int32_t complete(stack *k, size_t i, const char *layer) {
  ims_lower_view view = view_below(k, i);
  ims_lower *lower = &k->lower[k->count - 1 - i];
  int32_t rc = ims_apply_is_unsure(k->apply[i]) ? IMGSTORE_EAGAIN : ims_apply_settle(k->apply[i], &view, &k->s->err);
  if (rc == IMGSTORE_EAGAIN)
    rc = redo(k, i, layer);
  if (!rc)
    rc = ims_apply_finish(k->apply[i], &k->s->err);
  if (!rc)
    rc = ims_apply_describe(k->apply[i], &k->record[i], &k->s->err);
  lower->opaque = k->record[i].opaque;
  lower->default_acls = k->record[i].default_acls;
  lower->any_attributes = k->record[i].any_attributes;
  lower->attributes = &k->record[i].attributes;
  return rc;
}

static void make_directory(stack *k, size_t i) {
  char name[16];
  static const char *const prefixes[STACK_MAX] = {"L0", "L1", "L2", "L3", "L4", "L5", "L6", "L7"};
  snprintf(name, sizeof name, "L%zu", i);
  assert_int_equal(mkdirat(k->s->fd, name, 0755), 0);
  k->fd[i] = openat(k->s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(k->fd[i] >= 0);
  k->lower[k->count - 1 - i] = (ims_lower){.dir = k->s->fd, .prefix = prefixes[i]};
}

int32_t stack_apply(stack *k, scratch *s, const char *const *layers, bool ordered) {
  bool trusted = k->trusted;
  uint64_t bytes = k->quota.max_bytes, inodes = k->quota.max_inodes;
  int32_t rc = IMGSTORE_OK;
  memset(k, 0, sizeof *k);
  k->s = s;
  k->trusted = trusted;
  k->quota.max_bytes = bytes;
  k->quota.max_inodes = inodes;
  while (layers[k->count])
    k->count++;
  imgstore_report_free(s->report);
  s->report = ims_report_new(&ims_alloc_default);
  ims_error_clear(&s->err);
  for (size_t i = 0; i < k->count; i++)
    make_directory(k, i);
  for (size_t i = 0; i < k->count; i++)
    ims_layer_record_init(&k->record[i], &s->core->alloc);
  for (size_t i = k->count; !ordered && i-- > 0 && !rc;) { /* the uppermost first: none knows those below */
    rc = begin(k, i, layers[i], NULL);
    if (rc == IMGSTORE_EAGAIN)
      rc = IMGSTORE_OK;
  }
  for (size_t i = 0; i < k->count && !rc; i++) {
    ims_lower_view view = view_below(k, i);
    if (ordered)
      rc = begin(k, i, layers[i], &view);
    if (!rc)
      rc = complete(k, i, layers[i]);
  }
  return rc;
}

void stack_free(stack *k) {
  ims_core plain = *k->s->core;
  ims_error err = IMS_ERROR_INIT;
  plain.sys = &ims_sys_default;
  for (size_t i = 0; i < k->count; i++) {
    char name[16];
    ims_apply_free(k->apply[i]);
    ims_layer_record_free(&k->record[i]);
    assert_int_equal(ims_tree_remove(&plain, k->fd[i], &err), IMGSTORE_OK);
    close(k->fd[i]);
    snprintf(name, sizeof name, "L%zu", i);
    assert_int_equal(unlinkat(k->s->fd, name, AT_REMOVEDIR), 0);
  }
}

/* --- listing ------------------------------------------------------------------------------------------------------ */

typedef struct file_names {
  struct {
    dev_t dev;
    ino_t ino;
    char *first;
  } files[4096];
  size_t count;
} file_names;

static const char *first_name(file_names *n, const struct stat *st, const char *path) {
  for (size_t i = 0; i < n->count; i++)
    if (n->files[i].ino == st->st_ino && n->files[i].dev == st->st_dev)
      return n->files[i].first;
  n->files[n->count].dev = st->st_dev;
  n->files[n->count].ino = st->st_ino;
  n->files[n->count++].first = strdup(path);
  return path;
}

static void put_attributes(const char *path, ims_buf *out) {
  char list[4096], value[4096];
  ssize_t size = llistxattr(path, list, sizeof list);
  for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1) {
    if (strncmp(list + at, "trusted.overlay.", 16) == 0 || strncmp(list + at, "user.overlay.", 13) == 0)
      continue;
    ssize_t length = lgetxattr(path, list + at, value, sizeof value);
    ims_buf_printf(out, " %s=", list + at);
    for (ssize_t i = 0; i < length; i++)
      ims_buf_printf(out, "%02x", (unsigned char)value[i]);
  }
}

static void put_one(const char *full, const char *path, file_names *names, bool groups, ims_buf *out) {
  struct stat st;
  char text[512];
  ssize_t size = -1;
  if (lstat(full, &st) != 0) {
    ims_buf_printf(out, "%s: %s\n", path, strerror(errno));
    return;
  }
  ims_buf_printf(out, "%o %s owner=%u:%u", st.st_mode, path, st.st_uid, st.st_gid);
  if (st.st_mtim.tv_sec > 1700000000)
    ims_buf_puts(out, " now");
  else
    ims_buf_printf(out, " mtime=%lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  if (groups && !S_ISDIR(st.st_mode))
    ims_buf_printf(out, " first=%s", first_name(names, &st, path));
  put_attributes(full, out);
  if (S_ISLNK(st.st_mode))
    size = readlink(full, text, sizeof text);
  int fd = S_ISREG(st.st_mode) ? open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
  if (fd >= 0) {
    size = read(fd, text, sizeof text);
    close(fd);
  }
  if (size >= 0)
    ims_buf_printf(out, " : %.*s", (int)size, text);
  ims_buf_putc(out, '\n');
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void list_dir(const char *top, const char *prefix, file_names *names, bool groups, ims_buf *out) {
  struct dirent **entries;
  char full[8192];
  snprintf(full, sizeof full, "%s/%s", top, prefix);
  put_one(full, *prefix ? prefix : ".", names, groups, out);
  struct stat st;
  int count = lstat(full, &st) == 0 && S_ISDIR(st.st_mode) ? scandir(full, &entries, NULL, by_name) : 0;
  assert_true(count >= 0);
  for (int i = 0; i < count; i++) {
    char path[4096];
    if (strcmp(entries[i]->d_name, ".") != 0 && strcmp(entries[i]->d_name, "..") != 0) {
      snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", entries[i]->d_name);
      list_dir(top, path, names, groups, out);
    }
    free(entries[i]);
  }
  if (count)
    free(entries);
}

static char *list_path(const char *path, bool groups) {
  ims_buf out;
  file_names *names = calloc(1, sizeof *names);
  ims_buf_init(&out, &ims_alloc_default, 1 << 26);
  list_dir(path, "", names, groups, &out);
  for (size_t i = 0; i < names->count; i++)
    free(names->files[i].first);
  free(names);
  char *text = strdup(ims_buf_text(&out));
  ims_buf_free(&out);
  return text;
}

char *stack_list_plain(const scratch *s, const char *name, bool groups) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", s->path, name);
  return list_path(path, groups);
}

char *stack_list(const stack *k, bool groups) {
  char target[128], options[1024];
  snprintf(target, sizeof target, "%s/merged", k->s->path);
  size_t size = (size_t)snprintf(options, sizeof options, "%slowerdir=", k->trusted ? "" : "userxattr,");
  for (size_t i = k->count; i-- > 0;)
    size += (size_t)snprintf(options + size, sizeof options - size, "%s/L%zu:", k->s->path, i);
  size += (size_t)snprintf(options + size, sizeof options - size, "%s/empty", k->s->path); /* one layer is too few */
  mkdir(target, 0700);
  mkdirat(k->s->fd, "empty", 0700);
  int failed = mount("overlay", target, "overlay", MS_RDONLY, options) == 0 ? 0 : errno;
  char *text = failed ? NULL : list_path(target, groups);
  if (!failed)
    assert_int_equal(umount2(target, MNT_DETACH), 0);
  rmdir(target);
  unlinkat(k->s->fd, "empty", AT_REMOVEDIR);
  if (failed && failed != EPERM && failed != ENODEV && failed != EACCES)
    fail_msg("mount: %s", strerror(failed));
  return text;
}
