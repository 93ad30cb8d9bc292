/*
 * engine/credential_key.c (L4) - matches the keys of Docker's config.json and of containers' auth.json. Owns the
 * spellings that have been in use; it opens no file.
 */
#include "engine/credential_key.h"

#include <string.h>

#include "base/text.h"

static const char hub_key[] = "https://index.docker.io/v1/";

static bool is_hub(const char *host, size_t size) {
  static const char *const names[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ims_equal_fold_n(host, size, names[i], strlen(names[i])))
      return true;
  return false;
}

const char *ims_credential_key(const char *host) {
  return is_hub(host, strlen(host)) ? hub_key : host;
}

static bool same_host(const char *a, size_t a_size, const char *b) {
  size_t b_size = strlen(b);
  return ims_equal_fold_n(a, a_size, b, b_size) || (is_hub(a, a_size) && is_hub(b, b_size));
}

static const char *skip_scheme(const char *key) {
  if (ims_starts_with(key, "https://"))
    return key + strlen("https://");
  return ims_starts_with(key, "http://") ? key + strlen("http://") : key;
}

/* The path of a key without a scheme, behind its slash, against a repository. */
static size_t path_fit(const char *path, const char *repository) {
  size_t size = strlen(path);
  if (!size || strcmp(path, "v1/") == 0 || strcmp(path, "v2/") == 0)
    return IMS_KEY_HOST;
  if (!repository || strncmp(path, repository, size) != 0 || (repository[size] && repository[size] != '/'))
    return IMS_KEY_NONE;
  return IMS_KEY_NAMESPACE + size;
}

size_t ims_credential_key_fit(const char *key, const char *host, const char *repository) {
  const char *name = skip_scheme(key);
  size_t size = strcspn(name, "/");
  if (ims_equal_fold(key, ims_credential_key(host)))
    return IMS_KEY_EXACT;
  if (!size || !same_host(name, size, host))
    return IMS_KEY_NONE;
  if (name != key || !name[size])
    return IMS_KEY_HOST;
  return path_fit(name + size + 1, repository);
}
