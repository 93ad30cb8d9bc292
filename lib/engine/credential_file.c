/*
 * engine/credential_file.c (L4) - reads credential files: size cap, strict JSON, entries. Owns the meaning of auths,
 * credHelpers and credsStore. It starts no helper and writes nothing. Messages name file and host, never a value.
 */
#include "engine/credential_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "engine/credential_key.h"

enum { READ_PIECE = 16 * 1024, HELPER_NAME_MAX = 64 };

static int32_t read_all(ims_core *core, int fd, const char *path, ims_buf *text, ims_error *err) {
  struct stat st;
  if (core->sys->fstat(fd, &st) < 0)
    return ims_fail_os(err, errno, "cannot read %s", path);
  if (!S_ISREG(st.st_mode))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: not a regular file", path);
  for (;;) {
    int32_t code = ims_buf_reserve(text, READ_PIECE);
    if (code == IMGSTORE_ELIMIT)
      return ims_fail(err, code, "%s: over %d bytes", path, IMS_CREDENTIAL_FILE_MAX);
    if (code != IMGSTORE_OK)
      return ims_fail_nomem(err);
    ssize_t got = core->sys->read(fd, text->data + text->size, READ_PIECE);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return ims_fail_os(err, errno, "cannot read %s", path);
    if (got == 0)
      return IMGSTORE_OK;
    text->size += (size_t)got;
  }
}

int32_t ims_credential_file_read(ims_core *core, const char *path, ims_json **json, ims_error *err) {
  *json = NULL;
  int fd = core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0)
    return errno == ENOENT || errno == ENOTDIR ? IMGSTORE_OK : ims_fail_os(err, errno, "cannot open %s", path);
  ims_buf text;
  ims_buf_init(&text, &core->alloc, IMS_CREDENTIAL_FILE_MAX);
  int32_t code = read_all(core, fd, path, &text, err);
  core->sys->close(fd);
  if (code == IMGSTORE_OK && text.size)
    code = ims_json_parse(json, &core->alloc, text.data, text.size, path, err);
  if (code == IMGSTORE_OK && *json && ims_json_type(ims_json_root(*json)) != IMS_JSON_OBJECT) {
    ims_json_free(*json);
    *json = NULL;
    code = ims_fail(err, IMGSTORE_EFORMAT, "%s: not a JSON object", path);
  }
  ims_buf_free_secret(&text);
  return code;
}

/* A member that is an object; null counts as absent. */
static int32_t get_object(const ims_json *json, const char *path, const char *key, const ims_json_value **object,
                          ims_error *err) {
  *object = ims_json_get(ims_json_root(json), key);
  int32_t type = ims_json_type(*object);
  if (type == IMS_JSON_OBJECT)
    return IMGSTORE_OK;
  *object = NULL;
  return type == 0 || type == IMS_JSON_NULL ? IMGSTORE_OK
                                            : ims_fail(err, IMGSTORE_EFORMAT, "%s: %s is not an object", path, key);
}

/* It becomes part of a program's name: no slash, nothing that a shell or a path could give a meaning. */
static bool is_plain_name(const char *name) {
  size_t size = strlen(name);
  for (size_t i = 0; i < size; i++)
    if (!ims_is_alnum(name[i]) && name[i] != '-' && name[i] != '_' && name[i] != '.')
      return false;
  return size && size <= HELPER_NAME_MAX;
}

int32_t ims_credential_file_helper(const ims_json *json, const char *path, const char *host, const char **name,
                                   ims_error *err) {
  const ims_json_value *helpers, *chosen = NULL;
  size_t best = IMS_KEY_NONE;
  *name = NULL;
  int32_t code = get_object(json, path, "credHelpers", &helpers, err);
  if (code != IMGSTORE_OK)
    return code;
  for (const ims_json_value *v = ims_json_first(helpers); v; v = ims_json_next(v)) {
    size_t fit = ims_credential_key_fit(ims_json_key(v), host, NULL);
    if (fit > best) {
      best = fit;
      chosen = v;
    }
  }
  if (!chosen)
    chosen = ims_json_get(ims_json_root(json), "credsStore");
  if (!chosen || ims_json_type(chosen) == IMS_JSON_NULL)
    return IMGSTORE_OK;
  const char *text = ims_json_string(chosen);
  if (text && !*text)
    return IMGSTORE_OK;
  if (!text || !is_plain_name(text))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: the credential helper for %s is not a plain name", path, host);
  *name = text;
  return IMGSTORE_OK;
}

static int32_t copy_text(ims_core *core, const char *text, char **copy, ims_error *err) {
  if (!text || !*text)
    return IMGSTORE_OK;
  ims_free_secret(&core->alloc, *copy);
  *copy = ims_strdup(&core->alloc, text);
  return *copy ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* "user:password" in base64; some writers pad the password with zero bytes. */
static int32_t decode_auth(ims_core *core, const char *auth, const char *path, const char *key,
                           ims_credential *credential, ims_error *err) {
  size_t size = strlen(auth), used = 0;
  char *text = ims_malloc(&core->alloc, IMS_BASE64_DECODED(size) + 1);
  if (!text)
    return ims_fail_nomem(err);
  int32_t code = ims_base64_decode(auth, size, (uint8_t *)text, &used);
  while (used && !text[used - 1])
    used--;
  text[used] = '\0';
  char *colon = strchr(text, ':');
  if (code != IMGSTORE_OK || !colon || strlen(text) != used) {
    code = ims_fail(err, IMGSTORE_EFORMAT, "%s: auth of \"%s\" is not user:password in base64", path, key);
  } else {
    *colon = '\0';
    code = copy_text(core, text, &credential->username, err);
    if (code == IMGSTORE_OK)
      code = copy_text(core, colon + 1, &credential->password, err);
  }
  ims_wipe(text, IMS_BASE64_DECODED(size) + 1);
  ims_free(&core->alloc, text);
  return code;
}

/* A member that is a string; null counts as absent. */
static int32_t get_text(const ims_json_value *entry, const char *path, const char *member, const char **text,
                        ims_error *err) {
  const ims_json_value *v = ims_json_get(entry, member);
  *text = ims_json_string(v);
  if (*text || !v || ims_json_type(v) == IMS_JSON_NULL)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EFORMAT, "%s: %s of \"%s\" is not a string", path, member, ims_json_key(entry));
}

static int32_t read_entry(ims_core *core, const ims_json_value *entry, const char *path, ims_credential *credential,
                          ims_error *err) {
  const char *username, *password, *token, *auth;
  int32_t code;
  if ((code = get_text(entry, path, "username", &username, err)) != IMGSTORE_OK ||
      (code = get_text(entry, path, "password", &password, err)) != IMGSTORE_OK ||
      (code = get_text(entry, path, "identitytoken", &token, err)) != IMGSTORE_OK ||
      (code = get_text(entry, path, "auth", &auth, err)) != IMGSTORE_OK)
    return code;
  if ((code = copy_text(core, username, &credential->username, err)) != IMGSTORE_OK ||
      (code = copy_text(core, password, &credential->password, err)) != IMGSTORE_OK ||
      (code = copy_text(core, token, &credential->identity_token, err)) != IMGSTORE_OK)
    return code;
  return auth && *auth ? decode_auth(core, auth, path, ims_json_key(entry), credential, err) : IMGSTORE_OK;
}

/* Entries without content are what a login through a helper leaves behind. */
static bool holds_something(const ims_json_value *entry) {
  static const char *const members[] = {"auth", "username", "password", "identitytoken"};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
    const ims_json_value *v = ims_json_get(entry, members[i]);
    const char *text = ims_json_string(v);
    if (v && ims_json_type(v) != IMS_JSON_NULL && (!text || *text))
      return true;
  }
  return false;
}

int32_t ims_credential_file_find(ims_core *core, const ims_json *json, const char *path, const char *host,
                                 const char *repository, ims_credential *credential, ims_error *err) {
  const ims_json_value *auths, *chosen = NULL;
  size_t best = IMS_KEY_NONE;
  memset(credential, 0, sizeof *credential);
  int32_t code = get_object(json, path, "auths", &auths, err);
  if (code != IMGSTORE_OK)
    return code;
  for (const ims_json_value *v = ims_json_first(auths); v; v = ims_json_next(v)) {
    size_t fit = ims_credential_key_fit(ims_json_key(v), host, repository);
    if (fit <= best)
      continue;
    if (ims_json_type(v) != IMS_JSON_OBJECT)
      return ims_fail(err, IMGSTORE_EFORMAT, "%s: auths \"%s\" is not an object", path, ims_json_key(v));
    if (holds_something(v)) {
      best = fit;
      chosen = v;
    }
  }
  if (!chosen)
    return IMGSTORE_OK;
  code = read_entry(core, chosen, path, credential, err);
  if (code != IMGSTORE_OK)
    ims_credential_free(core, credential);
  return code;
}
