/*
 * engine/credentials.c (L4) - finds, stores and erases credentials. Owns the order of the places: the caller's files
 * first, then those of the environment; in each file the helper it names, then its own entries.
 */
#include "engine/credentials.h"

#include <limits.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "engine/credential_env.h"
#include "engine/credential_file.h"
#include "engine/credential_helper.h"
#include "engine/credential_key.h"
#include "engine/credential_save.h"

enum { ENTRY_MAX = 1024 * 1024 };

void ims_credential_free(ims_core *core, ims_credential *credential) {
  ims_free_secret(&core->alloc, credential->username);
  ims_free_secret(&core->alloc, credential->password);
  ims_free_secret(&core->alloc, credential->identity_token);
  memset(credential, 0, sizeof *credential);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

typedef struct search {
  ims_core *core;
  const char *host, *repository;
  const atomic_bool *cancelled;
  ims_credential *credential; /* all NULL until something is found */
  ims_error *err;
} search;

static int32_t search_document(const search *s, const ims_json *json, const char *path) {
  const char *helper;
  int32_t code = ims_credential_file_helper(json, path, s->host, &helper, s->err);
  if (code == IMGSTORE_OK && helper)
    code = ims_credential_helper_get(s->core, helper, ims_credential_key(s->host), s->cancelled, s->credential, s->err);
  if (code != IMGSTORE_OK || !ims_credential_is_empty(s->credential))
    return code;
  return ims_credential_file_find(s->core, json, path, s->host, s->repository, s->credential, s->err);
}

/* Looks into a file when there is one and nothing was found yet. */
static int32_t search_file(const search *s, const char *path) {
  ims_json *json;
  if (!path || !ims_credential_is_empty(s->credential))
    return IMGSTORE_OK;
  int32_t code = ims_credential_file_read(s->core, path, &json, s->err);
  if (code == IMGSTORE_OK && json)
    code = search_document(s, json, path);
  ims_json_free(json);
  return code;
}

static int32_t search_folder(const search *s, const char *directory) {
  ims_buf path;
  if (!directory || !*directory || !ims_credential_is_empty(s->credential))
    return IMGSTORE_OK;
  ims_buf_init(&path, &s->core->alloc, PATH_MAX);
  ims_buf_printf(&path, "%s/config.json", directory);
  int32_t code = path.failed;
  if (code == IMGSTORE_OK)
    code = search_file(s, ims_buf_text(&path));
  else if (code == IMGSTORE_ELIMIT)
    code = ims_fail(s->err, IMGSTORE_EINVALID, "credentials: the name of the folder is too long");
  else
    code = ims_fail_nomem(s->err);
  ims_buf_free(&path);
  return code;
}

static int32_t search_environment(const search *s) {
  char *directory, *files[IMS_AUTH_FILES];
  int32_t code = ims_environment_docker_config(s->core, &directory, s->err);
  if (code == IMGSTORE_OK)
    code = search_folder(s, directory);
  ims_free(&s->core->alloc, directory);
  if (code != IMGSTORE_OK)
    return code;
  code = ims_environment_auth_files(s->core, files, s->err);
  for (size_t i = 0; i < IMS_AUTH_FILES; i++) {
    if (code == IMGSTORE_OK)
      code = search_file(s, files[i]);
    ims_free(&s->core->alloc, files[i]);
  }
  return code;
}

int32_t ims_credentials_find(ims_core *core, const ims_credential_sources *sources, const char *host,
                             const char *repository, const atomic_bool *cancelled, ims_credential *credential,
                             ims_error *err) {
  const search s = {core, host, repository, cancelled, credential, err};
  memset(credential, 0, sizeof *credential);
  int32_t code = search_folder(&s, sources->docker_config);
  if (code == IMGSTORE_OK)
    code = search_file(&s, sources->auth_file);
  if (code == IMGSTORE_OK && sources->environment && ims_credential_is_empty(credential))
    code = search_environment(&s);
  if (code != IMGSTORE_OK)
    ims_credential_free(core, credential);
  return code;
}

/* --- storing and erasing ------------------------------------------------------------------------------------------ */

static int32_t put_auth(ims_core *core, ims_buf *entry, const ims_credential *credential) {
  const char *password = credential->password ? credential->password : "";
  ims_buf plain;
  ims_buf_init(&plain, &core->alloc, ENTRY_MAX / 2);
  ims_buf_printf(&plain, "%s:%s", credential->username, password);
  int32_t code = plain.failed;
  if (code == IMGSTORE_OK)
    code = ims_buf_reserve(entry, IMS_BASE64_ENCODED(plain.size) + 16);
  if (code == IMGSTORE_OK) {
    ims_buf_puts(entry, "\"auth\":\"");
    entry->size += ims_base64_encode((const uint8_t *)plain.data, plain.size, entry->data + entry->size);
    ims_buf_puts(entry, "\"");
  }
  ims_buf_free_secret(&plain);
  return code;
}

/* The entry for the file, as JSON. */
static int32_t make_entry(ims_core *core, ims_buf *entry, const ims_credential *credential, ims_error *err) {
  int32_t code = ims_buf_puts(entry, "{");
  if (code == IMGSTORE_OK && credential->username)
    code = put_auth(core, entry, credential);
  if (code == IMGSTORE_OK && credential->identity_token) {
    ims_buf_puts(entry, credential->username ? ",\"identitytoken\":" : "\"identitytoken\":");
    ims_json_put_string(entry, credential->identity_token, strlen(credential->identity_token));
  }
  if (code == IMGSTORE_OK)
    code = ims_buf_puts(entry, "}");
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, code, "credentials: over %d bytes", ENTRY_MAX);
  return code == IMGSTORE_OK ? code : ims_fail_nomem(err);
}

static int32_t check(const ims_credential *credential, ims_error *err) {
  const char *username = credential->username;
  if (!credential->identity_token && (!username || !credential->password))
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: a user name and a password are needed");
  if (username && (!*username || strchr(username, ':')))
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: a user name is not empty and has no colon");
  return IMGSTORE_OK;
}

/* The folder to change: the one given, or the environment's. */
static int32_t choose_folder(ims_core *core, const char *given, char **directory, ims_error *err) {
  *directory = NULL;
  if (given) {
    *directory = ims_strdup(&core->alloc, given);
    return *directory ? IMGSTORE_OK : ims_fail_nomem(err);
  }
  int32_t code = ims_environment_docker_config(core, directory, err);
  if (code == IMGSTORE_OK && !*directory)
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: neither DOCKER_CONFIG nor HOME is set");
  return code;
}

/* With a helper the file gets an empty entry, from which other tools see that there is a login. */
static int32_t store_held(ims_credential_save *save, const char *host, const ims_credential *credential,
                          ims_error *err) {
  const char *helper = NULL, *key = ims_credential_key(host);
  ims_buf entry;
  ims_buf_init(&entry, &save->core->alloc, ENTRY_MAX);
  int32_t code = IMGSTORE_OK;
  if (save->json)
    code = ims_credential_file_helper(save->json, save->path, host, &helper, err);
  if (code == IMGSTORE_OK && helper)
    code = ims_credential_helper_store(save->core, helper, key, credential, err);
  if (code == IMGSTORE_OK && helper)
    code = ims_buf_puts(&entry, "{}") == IMGSTORE_OK ? IMGSTORE_OK : ims_fail_nomem(err);
  else if (code == IMGSTORE_OK)
    code = make_entry(save->core, &entry, credential, err);
  if (code == IMGSTORE_OK)
    code = ims_credential_save_write(save, host, key, ims_buf_text(&entry), err);
  ims_buf_free_secret(&entry);
  return code;
}

int32_t ims_credentials_store(ims_core *core, const char *directory, const char *host, const ims_credential *credential,
                              ims_error *err) {
  ims_credential_save save;
  char *folder = NULL;
  int32_t code = check(credential, err);
  if (code == IMGSTORE_OK)
    code = choose_folder(core, directory, &folder, err);
  if (code == IMGSTORE_OK) {
    code = ims_credential_save_open(&save, core, folder, true, err);
    if (code == IMGSTORE_OK)
      code = store_held(&save, host, credential, err);
    ims_credential_save_close(&save);
  }
  ims_free(&core->alloc, folder);
  return code;
}

static int32_t erase_held(ims_credential_save *save, const char *host, ims_error *err) {
  const char *helper = NULL, *key = ims_credential_key(host);
  bool in_helper = false, in_file = ims_credential_save_has(save, host);
  int32_t code = IMGSTORE_OK;
  if (save->json)
    code = ims_credential_file_helper(save->json, save->path, host, &helper, err);
  if (code == IMGSTORE_OK && helper)
    code = ims_credential_helper_erase(save->core, helper, key, &in_helper, err);
  if (code == IMGSTORE_OK && in_file)
    code = ims_credential_save_write(save, host, key, NULL, err);
  if (code == IMGSTORE_OK && !in_helper && !in_file)
    code = ims_fail(err, IMGSTORE_ENOTFOUND, "%s: no credentials for %s", save->path, host);
  return code;
}

int32_t ims_credentials_erase(ims_core *core, const char *directory, const char *host, ims_error *err) {
  ims_credential_save save;
  char *folder = NULL;
  int32_t code = choose_folder(core, directory, &folder, err);
  if (code == IMGSTORE_OK) {
    code = ims_credential_save_open(&save, core, folder, false, err);
    if (code == IMGSTORE_OK)
      code = erase_held(&save, host, err);
    else if (code == IMGSTORE_ENOTFOUND && err)
      err->os_errno = 0;
    ims_credential_save_close(&save);
  }
  ims_free(&core->alloc, folder);
  return code;
}
