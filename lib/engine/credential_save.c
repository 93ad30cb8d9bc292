/*
 * engine/credential_save.c (L4) - rewrites config.json: lock, read, change one entry, temporary file, flush, rename,
 * flush of the folder. Owns the durability and the layout of the file; what an entry holds is its caller's.
 *
 * The lock is on the folder, so that nothing is left beside the file and two logins at once lose nothing.
 */
#include "engine/credential_save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "engine/credential_file.h"
#include "engine/credential_key.h"

static const char file_name[] = "config.json";
static const char temporary_name[] = ".config.json.imgstore";

/* --- finding and locking ------------------------------------------------------------------------------------------ */

/* Every missing folder on the way, as Docker does. */
static int32_t make_folders(ims_core *core, const char *directory, ims_error *err) {
  char path[PATH_MAX];
  size_t size = strlen(directory);
  if (size >= sizeof path)
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: the name of the folder is too long");
  memcpy(path, directory, size + 1);
  for (size_t i = 1; i <= size; i++) {
    if (path[i] != '/' && path[i] != '\0')
      continue;
    path[i] = '\0';
    if (core->sys->mkdirat(AT_FDCWD, path, 0700) < 0 && errno != EEXIST && errno != EISDIR)
      return ims_fail_os(err, errno, "cannot make folder %s", path);
    path[i] = i < size ? '/' : '\0';
  }
  return IMGSTORE_OK;
}

static int32_t lock_folder(ims_credential_save *s, const char *folder, ims_error *err) {
  int done;
  s->folder_fd = s->core->sys->openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (s->folder_fd < 0)
    return ims_fail_os(err, errno, "cannot open %s", folder);
  do
    done = s->core->sys->flock(s->folder_fd, LOCK_EX);
  while (done < 0 && errno == EINTR);
  return done < 0 ? ims_fail_os(err, errno, "cannot lock %s", folder) : IMGSTORE_OK;
}

/* A config.json that is a link is written where it points to: people keep it in another folder. */
static int32_t resolve(ims_credential_save *s, char target[PATH_MAX], ims_error *err) {
  struct stat st;
  if (s->core->sys->fstatat(AT_FDCWD, s->path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode)) {
    size_t size = strlen(s->path);
    if (size >= PATH_MAX)
      return ims_fail(err, IMGSTORE_EINVALID, "%s: name too long", s->path);
    memcpy(target, s->path, size + 1);
    return IMGSTORE_OK;
  }
  return realpath(s->path, target) ? IMGSTORE_OK : ims_fail_os(err, errno, "cannot follow %s", s->path);
}

static int32_t join(ims_core *core, const char *directory, char **path, ims_error *err) {
  ims_buf text;
  if (!*directory)
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: the name of the folder is empty");
  ims_buf_init(&text, &core->alloc, PATH_MAX);
  ims_buf_printf(&text, "%s/%s", directory, file_name);
  *path = ims_buf_detach(&text, NULL);
  int32_t code = *path ? IMGSTORE_OK : text.failed;
  ims_buf_free(&text);
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: the name of the folder is too long");
  return code == IMGSTORE_OK ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* What is not understood is left alone. */
static int32_t read_held(ims_credential_save *s, ims_error *err) {
  int32_t code = ims_credential_file_read(s->core, s->path, &s->json, err);
  if (code != IMGSTORE_OK || !s->json)
    return code;
  int32_t type = ims_json_type(ims_json_get(ims_json_root(s->json), "auths"));
  if (type && type != IMS_JSON_OBJECT && type != IMS_JSON_NULL)
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: auths is not an object", s->path);
  return IMGSTORE_OK;
}

int32_t ims_credential_save_open(ims_credential_save *s, ims_core *core, const char *directory, bool make,
                                 ims_error *err) {
  char target[PATH_MAX];
  *s = (ims_credential_save){.core = core, .folder_fd = -1};
  int32_t code = join(core, directory, &s->path, err);
  if (code == IMGSTORE_OK && make)
    code = make_folders(core, directory, err);
  if (code == IMGSTORE_OK)
    code = resolve(s, target, err);
  if (code != IMGSTORE_OK)
    return code;
  char *slash = strrchr(target, '/');
  s->name = ims_strdup(&core->alloc, slash + 1);
  if (!s->name)
    return ims_fail_nomem(err);
  slash[slash == target] = '\0';
  code = lock_folder(s, target, err);
  return code == IMGSTORE_OK ? read_held(s, err) : code;
}

void ims_credential_save_close(ims_credential_save *s) {
  if (s->folder_fd >= 0)
    s->core->sys->close(s->folder_fd);
  ims_json_free(s->json);
  ims_free(&s->core->alloc, s->name);
  ims_free(&s->core->alloc, s->path);
}

/* --- the new content ---------------------------------------------------------------------------------------------- */

static bool is_spelling(const char *key, const char *host) {
  size_t fit = ims_credential_key_fit(key, host, NULL);
  return fit == IMS_KEY_HOST || fit == IMS_KEY_EXACT;
}

bool ims_credential_save_has(const ims_credential_save *s, const char *host) {
  const ims_json_value *auths = s->json ? ims_json_get(ims_json_root(s->json), "auths") : NULL;
  for (const ims_json_value *v = ims_json_first(auths); v; v = ims_json_next(v))
    if (is_spelling(ims_json_key(v), host))
      return true;
  return false;
}

static void put_key(ims_buf *out, const char *key, bool *first) {
  if (!*first)
    ims_buf_putc(out, ',');
  *first = false;
  ims_json_put_string(out, key, strlen(key));
  ims_buf_putc(out, ':');
}

/* The auths object: the changed entry where the old one was, or at the end. */
static void put_auths(ims_buf *out, const ims_json_value *auths, const char *host, const char *key, const char *entry) {
  bool first = true, written = entry == NULL;
  ims_buf_putc(out, '{');
  for (const ims_json_value *v = ims_json_first(auths); v; v = ims_json_next(v)) {
    bool ours = is_spelling(ims_json_key(v), host);
    if (ours && written)
      continue;
    put_key(out, ours ? key : ims_json_key(v), &first);
    if (ours)
      ims_buf_puts(out, entry);
    else
      ims_json_put_value(out, v);
    written = written || ours;
  }
  if (!written) {
    put_key(out, key, &first);
    ims_buf_puts(out, entry);
  }
  ims_buf_putc(out, '}');
}

static void put_document(ims_buf *out, const ims_credential_save *s, const char *host, const char *key,
                         const char *entry) {
  const ims_json_value *root = s->json ? ims_json_root(s->json) : NULL;
  bool first = true, written = false;
  ims_buf_putc(out, '{');
  for (const ims_json_value *v = ims_json_first(root); v; v = ims_json_next(v)) {
    put_key(out, ims_json_key(v), &first);
    if (strcmp(ims_json_key(v), "auths") == 0) {
      put_auths(out, v, host, key, entry);
      written = true;
    } else {
      ims_json_put_value(out, v);
    }
  }
  if (!written && entry) {
    put_key(out, "auths", &first);
    put_auths(out, NULL, host, key, entry);
  }
  ims_buf_putc(out, '}');
}

static void put_line(ims_buf *out, size_t depth) {
  ims_buf_putc(out, '\n');
  while (depth--)
    ims_buf_putc(out, '\t');
}

/* Compact JSON in the layout that Docker writes: people read this file. */
static void put_indented(ims_buf *out, const char *json, size_t size) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < size; i++) {
    char c = json[i];
    bool closes = !quoted && (c == '}' || c == ']'), opens = !quoted && (c == '{' || c == '[');
    if (closes && depth)
      depth--;
    if (closes && json[i - 1] != '{' && json[i - 1] != '[')
      put_line(out, depth);
    ims_buf_putc(out, c);
    if (quoted && c == '\\')
      ims_buf_putc(out, json[++i]);
    else if (c == '"')
      quoted = !quoted;
    if (opens)
      depth++;
    if ((opens && json[i + 1] != '}' && json[i + 1] != ']') || (!quoted && c == ','))
      put_line(out, depth);
    if (!quoted && c == ':')
      ims_buf_putc(out, ' ');
  }
  ims_buf_putc(out, '\n');
}

/* --- publishing --------------------------------------------------------------------------------------------------- */

static int write_all(const ims_sys *sys, int fd, const ims_buf *text) {
  for (size_t at = 0; at < text->size;) {
    ssize_t wrote = sys->write(fd, text->data + at, text->size - at);
    if (wrote < 0 && errno != EINTR)
      return errno;
    at += wrote > 0 ? (size_t)wrote : 0;
  }
  return sys->fsync(fd) < 0 ? errno : 0;
}

/* What a crash left of an earlier try is removed first: the lock is ours. */
static int publish(const ims_credential_save *s, const ims_buf *text) {
  const ims_sys *sys = s->core->sys;
  sys->unlinkat(s->folder_fd, temporary_name, 0);
  int fd = sys->openat(s->folder_fd, temporary_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return errno;
  int failed = sys->fchmod(fd, 0600) < 0 ? errno : write_all(sys, fd, text);
  if (sys->close(fd) < 0 && !failed)
    failed = errno;
  if (!failed && sys->renameat2(s->folder_fd, temporary_name, s->folder_fd, s->name, 0) < 0)
    failed = errno;
  if (failed) {
    sys->unlinkat(s->folder_fd, temporary_name, 0);
    return failed;
  }
  return sys->fsync(s->folder_fd) < 0 ? errno : 0;
}

int32_t ims_credential_save_write(ims_credential_save *s, const char *host, const char *key, const char *entry,
                                  ims_error *err) {
  ims_buf compact, text;
  ims_buf_init(&compact, &s->core->alloc, IMS_CREDENTIAL_FILE_MAX);
  ims_buf_init(&text, &s->core->alloc, IMS_CREDENTIAL_FILE_MAX);
  put_document(&compact, s, host, key, entry);
  if (!compact.failed)
    put_indented(&text, compact.data, compact.size);
  int32_t code = compact.failed ? compact.failed : text.failed;
  if (code == IMGSTORE_ENOMEM) {
    ims_fail_nomem(err);
  } else if (code != IMGSTORE_OK) {
    ims_fail(err, code, "%s: would be over %d bytes", s->path, IMS_CREDENTIAL_FILE_MAX);
  } else {
    int failed = publish(s, &text);
    code = failed ? ims_fail_os(err, failed, "cannot write %s", s->path) : IMGSTORE_OK;
  }
  ims_buf_free_secret(&compact);
  ims_buf_free_secret(&text);
  return code;
}
