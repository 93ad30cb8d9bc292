/*
 * transport/certs.c (L3) - finds a registry's authorities and client certificate in a certs.d folder. Owns the layout;
 * it does not look into certificates and knows no TLS library.
 */
#include "transport/certs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"

enum { MAX_FOLDER = 4096, MAX_PEM = 4 * 1024 * 1024, READ_PIECE = 16 * 1024 };

/* The names of a folder that matter, each the first in order. */
typedef struct found {
  char authority[NAME_MAX + 1], certificate[NAME_MAX + 1], key[NAME_MAX + 1];
  size_t authorities;
} found;

static void keep_first(char kept[NAME_MAX + 1], const char *name) {
  if (!kept[0] || strcmp(name, kept) < 0)
    memcpy(kept, name, strlen(name) + 1);
}

static bool has_suffix(const char *name, const char *suffix) {
  return strlen(name) > strlen(suffix) && ims_ends_with(name, suffix);
}

/* True and the partner's name when other in place of suffix is a file of the folder. */
static bool has_partner(int folder, const char *name, const char *suffix, const char *other, char out[NAME_MAX + 1]) {
  size_t stem = strlen(name) - strlen(suffix);
  if (stem + strlen(other) > NAME_MAX)
    return false;
  memcpy(out, name, stem);
  memcpy(out + stem, other, strlen(other) + 1);
  return faccessat(folder, out, F_OK, 0) == 0;
}

static int32_t take_name(found *f, int folder, const char *path, const char *name, ims_error *err) {
  char partner[NAME_MAX + 1];
  if (has_suffix(name, ".crt")) {
    f->authorities++;
    keep_first(f->authority, name);
  } else if (has_suffix(name, ".cert")) {
    if (!has_partner(folder, name, ".cert", ".key", partner))
      return ims_fail(err, IMGSTORE_EFORMAT, "%s/%s: its .key file is missing", path, name);
    keep_first(f->certificate, name);
  } else if (has_suffix(name, ".key")) {
    if (!has_partner(folder, name, ".key", ".cert", partner))
      return ims_fail(err, IMGSTORE_EFORMAT, "%s/%s: its .cert file is missing", path, name);
  }
  return IMGSTORE_OK;
}

static int32_t scan(DIR *folder, const char *path, found *f, ims_error *err) {
  for (int count = 0;; count++) {
    errno = 0;
    const struct dirent *entry = readdir(folder);
    if (!entry)
      break;
    if (count == MAX_FOLDER)
      return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %d files", path, MAX_FOLDER);
    int32_t code = take_name(f, dirfd(folder), path, entry->d_name, err);
    if (code != IMGSTORE_OK)
      return code;
  }
  if (errno)
    return ims_fail_os(err, errno, "cannot read %s", path);
  if (f->certificate[0])
    has_partner(dirfd(folder), f->certificate, ".cert", ".key", f->key);
  return IMGSTORE_OK;
}

/* A folder that is not there is no failure: *folder stays NULL. */
static int32_t open_folder(const char *path, DIR **folder, ims_error *err) {
  *folder = opendir(path);
  if (!*folder && errno != ENOENT && errno != ENOTDIR)
    return ims_fail_os(err, errno, "cannot open %s", path);
  return IMGSTORE_OK;
}

/* "folder/name", "folder" when name is "."; NULL when name is empty. */
static int32_t join(ims_core *core, const char *folder, const char *name, char **path, ims_error *err) {
  if (!*name)
    return IMGSTORE_OK;
  ims_buf text;
  ims_buf_init(&text, &core->alloc, PATH_MAX);
  ims_buf_puts(&text, folder);
  if (strcmp(name, ".") != 0)
    ims_buf_printf(&text, "/%s", name);
  *path = ims_buf_detach(&text, NULL);
  int32_t code = *path ? IMGSTORE_OK : text.failed;
  ims_buf_free(&text);
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, code, "path in %s is too long", folder);
  return code == IMGSTORE_OK ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_certs_find(ims_core *core, const char *certs_dir, const char *host, char **ca_file, char **cert_file,
                       char **key_file, ims_error *err) {
  found f = {.authorities = 0};
  char *path = NULL;
  DIR *folder = NULL;
  *ca_file = *cert_file = *key_file = NULL;
  if (!*host || *host == '.' || strchr(host, '/'))
    return IMGSTORE_OK;
  int32_t code = join(core, certs_dir, host, &path, err);
  if (code == IMGSTORE_OK)
    code = open_folder(path, &folder, err);
  if (code != IMGSTORE_OK || !folder)
    goto out;
  code = scan(folder, path, &f, err);
  if (code == IMGSTORE_OK)
    code = join(core, path, f.authorities > 1 ? "." : f.authority, ca_file, err);
  if (code == IMGSTORE_OK)
    code = join(core, path, f.certificate, cert_file, err);
  if (code == IMGSTORE_OK)
    code = join(core, path, f.key, key_file, err);
out:
  if (folder)
    closedir(folder);
  if (code != IMGSTORE_OK) {
    ims_free(&core->alloc, *ca_file);
    ims_free(&core->alloc, *cert_file);
    *ca_file = *cert_file = NULL;
  }
  ims_free(&core->alloc, path);
  return code;
}

static int32_t append_file(ims_core *core, int folder, const char *path, const char *name, ims_buf *pem,
                           ims_error *err) {
  ssize_t got = 1;
  int fd = core->sys->openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    return ims_fail_os(err, errno, "cannot open %s/%s", path, name);
  int32_t code = IMGSTORE_OK;
  while (got && code == IMGSTORE_OK) {
    if ((code = ims_buf_reserve(pem, READ_PIECE)) != IMGSTORE_OK)
      break;
    got = core->sys->read(fd, pem->data + pem->size, READ_PIECE);
    if (got < 0)
      code = ims_fail_os(err, errno, "cannot read %s/%s", path, name);
    else
      pem->size += (size_t)got;
  }
  core->sys->close(fd);
  if (code == IMGSTORE_OK)
    code = ims_buf_putc(pem, '\n');
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, code, "%s: certificates over %d bytes", path, MAX_PEM);
  return code == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : code;
}

int32_t ims_certs_read(ims_core *core, const char *path, char **pem, size_t *size, ims_error *err) {
  DIR *folder = NULL;
  *pem = NULL;
  *size = 0;
  int32_t code = open_folder(path, &folder, err);
  if (code != IMGSTORE_OK || !folder)
    return code;
  ims_buf text;
  ims_buf_init(&text, &core->alloc, MAX_PEM);
  const struct dirent *entry;
  while (code == IMGSTORE_OK && (entry = readdir(folder)) != NULL)
    if (has_suffix(entry->d_name, ".crt"))
      code = append_file(core, dirfd(folder), path, entry->d_name, &text, err);
  if (code == IMGSTORE_OK && !(*pem = ims_buf_detach(&text, size)))
    code = ims_fail_nomem(err);
  ims_buf_free(&text);
  closedir(folder);
  return code;
}

bool ims_certs_is_hashed(const char *path) {
  enum { HASH_DIGITS = 8 };
  DIR *folder = opendir(path);
  bool hashed = false;
  for (int count = 0; folder && !hashed && count < MAX_FOLDER; count++) {
    const struct dirent *entry = readdir(folder);
    if (!entry)
      break;
    hashed = strspn(entry->d_name, "0123456789abcdef") == HASH_DIGITS && strcmp(entry->d_name + HASH_DIGITS, ".0") == 0;
  }
  if (folder)
    closedir(folder);
  return hashed;
}
