/* tests/unit/apply_fixture.c - see apply_fixture.h. */
#include "apply_fixture.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/report.h"
#include "tar_fixture.h"

typedef struct line {
  char type;
  char *path, *rest;
  unsigned long mode, major, minor;
  ims_buf records; /* PAX */
} line;

static void octal(tar_fixture *f, size_t offset, int digits, unsigned long value) {
  char text[24];
  snprintf(text, sizeof text, "%0*lo", digits, value);
  fixture_patch(f, offset, text, (size_t)digits);
}

static void unhex(const char *hex, ims_buf *out) {
  unsigned byte;
  for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
    ims_buf_putc(out, (char)byte);
}

static void parse_key(line *l, char *key) {
  char *value = strchr(key, '=');
  assert_non_null(value);
  *value++ = '\0';
  char name[300];
  snprintf(name, sizeof name, "SCHILY.xattr.%s", strchr(key, '.') ? strchr(key, '.') + 1 : "");
  ims_buf bytes;
  ims_buf_init(&bytes, &ims_alloc_default, 1 << 20);
  if (strcmp(key, "mode") == 0)
    l->mode = strtoul(value, NULL, 8);
  else if (strcmp(key, "uid") == 0 || strcmp(key, "gid") == 0 || strcmp(key, "mtime") == 0)
    fixture_record(&l->records, key, value, strlen(value));
  else if (strcmp(key, "major") == 0)
    l->major = strtoul(value, NULL, 10);
  else if (strcmp(key, "minor") == 0)
    l->minor = strtoul(value, NULL, 10);
  else if (strncmp(key, "xattr.", 6) == 0)
    fixture_record(&l->records, name, value, strlen(value));
  else if (strncmp(key, "hex.", 4) == 0) {
    unhex(value, &bytes);
    fixture_record(&l->records, name, ims_buf_text(&bytes), bytes.size);
  } else
    fail_msg("unknown key %s", key);
  ims_buf_free(&bytes);
}

static void parse_line(line *l, char *text) {
  memset(l, 0, sizeof *l);
  ims_buf_init(&l->records, &ims_alloc_default, 1 << 20);
  l->rest = strstr(text, " : ");
  if (l->rest) {
    *l->rest = '\0';
    l->rest += 3;
  } else {
    l->rest = text + strlen(text);
  }
  char *at = NULL, *word = strtok_r(text, " ", &at);
  l->type = *word;
  l->path = strtok_r(NULL, " ", &at);
  assert_non_null(l->path);
  l->mode = l->type == 'd' ? 0755 : 0644;
  while ((word = strtok_r(NULL, " ", &at)))
    parse_key(l, word);
}

static void add_line(tar_fixture *f, char *text) {
  static const char types[] = "fdshcbp", flags[] = "0521346";
  line l;
  parse_line(&l, text);
  const char *type = strchr(types, l.type);
  assert_non_null(type);
  bool is_file = l.type == 'f', is_link = l.type == 's' || l.type == 'h';
  bool long_path = strlen(l.path) > 100, long_link = is_link && strlen(l.rest) > 100;
  if (long_path)
    fixture_record(&l.records, "path", l.path, strlen(l.path));
  if (long_link)
    fixture_record(&l.records, "linkpath", l.rest, strlen(l.rest));
  if (l.records.size)
    fixture_file(f, 'x', "pax", l.records.data, l.records.size);
  fixture_header(f, MAGIC_USTAR, flags[type - types], long_path ? "long" : l.path,
                 !is_link    ? ""
                 : long_link ? "long"
                             : l.rest,
                 is_file ? strlen(l.rest) : 0);
  octal(f, 100, 7, l.mode);
  octal(f, 108, 7, geteuid());
  octal(f, 116, 7, getegid());
  octal(f, 329, 7, l.major);
  octal(f, 337, 7, l.minor);
  if (is_file)
    fixture_content(f, l.rest, strlen(l.rest));
  ims_buf_free(&l.records);
}

void layer_bytes(const char *text, ims_buf *out) {
  tar_fixture f;
  fixture_init(&f);
  char *copy = strdup(text), *at = NULL;
  for (char *l = strtok_r(copy, "\n", &at); l; l = strtok_r(NULL, "\n", &at))
    add_line(&f, l);
  free(copy);
  fixture_end(&f);
  *out = f.bytes;
}

static int no_openat2(int dir, const char *path, const ims_open_how *how) {
  errno = ENOSYS;
  return -1;
}

void scratch_without_openat2(scratch *s) {
  s->sys.openat2 = no_openat2;
}

static void write_file(int dir, const char *path, const char *content) {
  int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, content, strlen(content)), strlen(content));
  close(fd);
}

void scratch_open(scratch *s) {
  memset(s, 0, sizeof *s);
  strcpy(s->path, "/tmp/imgstore-apply-XXXXXX");
  assert_non_null(mkdtemp(s->path));
  s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(mkdirat(s->fd, "canary", 0755), 0);
  assert_int_equal(mkdirat(s->fd, "canary/dir", 0755), 0);
  write_file(s->fd, "canary/secret", "secret");
  write_file(s->fd, "canary/dir/file", "untouched");
  s->canary = scratch_list(s, "canary", true);
  assert_int_equal(mkdirat(s->fd, "root", 0755), 0);
  s->root = openat(s->fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  imgstore_context_options options = {.size = sizeof options, .max_layer_entries = 1 << 24, .max_path_depth = 1 << 20};
  s->core = ims_core_new(&options);
  assert_non_null(s->core);
  s->sys = ims_sys_default;
  s->core->sys = &s->sys;
  s->options.size = sizeof s->options;
  s->chunk = 1 << 16;
}

void scratch_again(scratch *s) {
  ims_error err = IMS_ERROR_INIT;
  ims_core plain = *s->core;
  plain.sys = &ims_sys_default;
  int root = openat(s->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(root >= 0);
  if (ims_tree_remove(&plain, root, &err))
    fail_msg("%s", err.message);
  close(root);
  close(s->root);
  assert_int_equal(unlinkat(s->fd, "root", AT_REMOVEDIR), 0);
  assert_int_equal(mkdirat(s->fd, "root", 0755), 0);
  s->root = openat(s->fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void scratch_close(scratch *s) {
  ims_error err = IMS_ERROR_INIT;
  char *canary = scratch_list(s, "canary", true);
  assert_string_equal(canary, s->canary);
  free(canary);
  free(s->canary);
  s->sys = ims_sys_default;
  close(s->root);
  fchmodat(s->fd, "root", 0700, 0);
  assert_int_equal(ims_tree_remove(s->core, s->fd, &err), IMGSTORE_OK);
  close(s->fd);
  assert_int_equal(rmdir(s->path), 0);
  imgstore_report_free(s->report);
  ims_core_unref(s->core);
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

int32_t scratch_apply(scratch *s, const char *const *layers) {
  ims_apply *a;
  imgstore_report_free(s->report);
  s->report = ims_report_new(&ims_alloc_default);
  ims_error_clear(&s->err);
  int32_t rc = ims_apply_new(&a, s->core, s->root, &s->options, s->report, &s->err);
  for (; *layers && !rc; layers++)
    rc = feed(a, *layers, s->chunk, &s->err);
  if (!rc)
    rc = ims_apply_finish(a, &s->err);
  ims_apply_free(a);
  if (rc)
    assert_int_equal(rc, s->err.code);
  return rc;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a directory, sorted; the array and its names are freed by the caller. */
static char **names_in(int fd, size_t *count) {
  size_t capacity = 16;
  char **names = malloc(capacity * sizeof *names);
  DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  assert_non_null(d);
  *count = 0;
  for (struct dirent *e = readdir(d); e; e = readdir(d)) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    if (*count == capacity)
      names = realloc(names, (capacity *= 2) * sizeof *names);
    names[(*count)++] = strdup(e->d_name);
  }
  closedir(d);
  qsort(names, *count, sizeof *names, by_name);
  return names;
}

static void list_xattrs(int dir, const char *name, ims_buf *out) {
  char path[400], list[4096], value[4096];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
  ssize_t size = llistxattr(path, list, sizeof list);
  for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1) {
    ssize_t length = lgetxattr(path, list + at, value, sizeof value);
    ims_buf_printf(out, " %s=", list + at);
    for (ssize_t i = 0; i < length; i++)
      ims_buf_printf(out, isgraph((unsigned char)value[i]) ? "%c" : "\\%02x", (unsigned char)value[i]);
  }
}

static void list_content(int dir, const char *name, const struct stat *st, ims_buf *out) {
  char text[8192];
  ssize_t size = -1;
  if (S_ISLNK(st->st_mode)) {
    size = readlinkat(dir, name, text, sizeof text);
  } else if (S_ISREG(st->st_mode)) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    size = fd >= 0 ? read(fd, text, sizeof text) : st->st_size ? -1 : 0;
    if (fd >= 0)
      close(fd);
  } else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
    ims_buf_printf(out, " %u:%u", major(st->st_rdev), minor(st->st_rdev));
  }
  if (size >= 0) {
    ims_buf_puts(out, " : ");
    ims_buf_append(out, text, size < 64 ? (size_t)size : 64);
  }
}

static void list_one(int dir, const char *name, const char *path, const struct stat *st, bool times, ims_buf *out) {
  mode_t usual = S_ISDIR(st->st_mode) ? 0755 : S_ISLNK(st->st_mode) ? 0777 : 0644;
  char type = S_ISDIR(st->st_mode)    ? 'd'
              : S_ISLNK(st->st_mode)  ? 's'
              : S_ISREG(st->st_mode)  ? 'f'
              : S_ISCHR(st->st_mode)  ? 'c'
              : S_ISBLK(st->st_mode)  ? 'b'
              : S_ISFIFO(st->st_mode) ? 'p'
                                      : '?';
  ims_buf_printf(out, "%c %s", type, path);
  if ((st->st_mode & 07777) != usual)
    ims_buf_printf(out, " mode=%04o", st->st_mode & 07777);
  if (st->st_uid != geteuid() || st->st_gid != getegid())
    ims_buf_printf(out, " owner=%u:%u", st->st_uid, st->st_gid);
  if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
    ims_buf_printf(out, " links=%u", (unsigned)st->st_nlink);
  if (times)
    ims_buf_printf(out, " mtime=%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
  list_xattrs(dir, name, out);
  list_content(dir, name, st, out);
  ims_buf_putc(out, '\n');
}

static void list_below(int fd, const char *prefix, bool times, ims_buf *out) {
  size_t count;
  char **names = names_in(fd, &count);
  for (size_t i = 0; i < count; i++) {
    struct stat st;
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", names[i]);
    assert_int_equal(fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
    list_one(fd, names[i], path, &st, times, out);
    bool readable = S_ISDIR(st.st_mode) && (geteuid() == 0 || (st.st_mode & 0500) == 0500);
    int child = readable ? openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (child >= 0) {
      list_below(child, path, times, out);
      close(child);
    }
    free(names[i]);
  }
  free(names);
}

char *scratch_list(const scratch *s, const char *name, bool times) {
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, 1 << 26);
  int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(fd >= 0);
  list_below(fd, "", times, &out);
  close(fd);
  char *text = strdup(ims_buf_text(&out));
  ims_buf_free(&out);
  return text;
}

void scratch_expect(const scratch *s, const char *expected) {
  char *found = scratch_list(s, "root", false);
  if (strcmp(found, expected) != 0)
    fail_msg("expected:\n%sfound:\n%s", expected, found);
  free(found);
}

void scratch_expect_report(const scratch *s, const char *expected) {
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, 1 << 20);
  for (size_t i = 0; i < imgstore_report_count(s->report); i++)
    ims_buf_printf(&out, "%s: %s\n", imgstore_report_name(s->report, i), imgstore_report_detail(s->report, i));
  if (strcmp(ims_buf_text(&out), expected) != 0)
    fail_msg("expected:\n%sreported:\n%s", expected, ims_buf_text(&out));
  ims_buf_free(&out);
}

int count_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++)
    count += fcntl(fd, F_GETFD) >= 0;
  return count;
}
