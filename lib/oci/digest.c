/*
 * oci/digest.c (L1) - digest text. Nothing else in the library may take a digest from outside for a path or a URL.
 */
#include "oci/digest.h"

#include <string.h>

#include "base/text.h"

static const int32_t algorithms[] = {IMS_HASH_SHA256, IMS_HASH_SHA512};

const char *ims_digest_algorithm_name(int32_t algorithm) {
  switch (algorithm) {
  case IMS_HASH_SHA256:
    return "sha256";
  case IMS_HASH_SHA512:
    return "sha512";
  default:
    return "";
  }
}

static int32_t algorithm_of(const char *name, size_t size) {
  for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
    const char *known = ims_digest_algorithm_name(algorithms[i]);
    if (strlen(known) == size && memcmp(known, name, size) == 0)
      return algorithms[i];
  }
  return 0;
}

/* algorithm ::= component (separator component)*, as image-spec writes digests. */
static bool is_algorithm_name(const char *name, size_t size) {
  bool after_component = false;
  for (size_t i = 0; i < size; i++) {
    bool component = ims_is_digit(name[i]) || (name[i] >= 'a' && name[i] <= 'z');
    if (!component && !(after_component && name[i] && strchr("+._-", name[i])))
      return false;
    after_component = component;
  }
  return after_component;
}

int32_t ims_digest_parse(ims_digest *digest, const char *text, size_t size, ims_error *err) {
  memset(digest, 0, sizeof *digest);
  int shown = size < 160 ? (int)size : 160;
  const char *colon = memchr(text, ':', size);
  size_t name_size = colon ? (size_t)(colon - text) : 0;
  if (!is_algorithm_name(text, name_size))
    return ims_fail(err, IMGSTORE_EFORMAT, "digest \"%.*s\": not of the form algorithm:hex", shown, text);
  int32_t algorithm = algorithm_of(text, name_size);
  if (!algorithm)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "digest \"%.*s\": unknown algorithm", shown, text);
  size_t digits = 2 * ims_hash_size(algorithm);
  if (size - name_size - 1 != digits || !ims_is_lower_hex(colon + 1, digits))
    return ims_fail(err, IMGSTORE_EFORMAT, "digest \"%.*s\": %s takes exactly %zu lower-case hex digits", shown, text,
                    ims_digest_algorithm_name(algorithm), digits);
  digest->algorithm = algorithm;
  memcpy(digest->text, text, size);
  return IMGSTORE_OK;
}

void ims_digest_from_hash(ims_digest *digest, ims_hash *hash) {
  uint8_t bytes[IMS_HASH_MAX_SIZE];
  memset(digest, 0, sizeof *digest);
  digest->algorithm = hash->algorithm;
  ims_hash_final(hash, bytes);
  const char *name = ims_digest_algorithm_name(digest->algorithm);
  size_t size = strlen(name);
  memcpy(digest->text, name, size);
  digest->text[size] = ':';
  ims_hex_encode(bytes, ims_hash_size(digest->algorithm), digest->text + size + 1);
}

void ims_digest_of(ims_digest *digest, int32_t algorithm, const void *data, size_t size) {
  ims_hash hash;
  ims_hash_init(&hash, algorithm);
  ims_hash_update(&hash, data, size);
  ims_digest_from_hash(digest, &hash);
}

bool ims_digest_equal(const ims_digest *a, const ims_digest *b) {
  return a->algorithm == b->algorithm && strcmp(a->text, b->text) == 0;
}

const char *ims_digest_hex(const ims_digest *digest) {
  const char *colon = strchr(digest->text, ':');
  return colon ? colon + 1 : "";
}
