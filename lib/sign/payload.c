/*
 * sign/payload.c (L1) - simple-signing payloads, in-toto statements, DSSE's encoding. Knows no keys.
 */
#include "sign/payload.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "json/json.h"

/* An object that has these members (the last name may be absent) and no others. */
static bool has_only(const ims_json_value *object, const char *const *names, size_t count) {
  size_t found = 0;
  for (const ims_json_value *v = ims_json_first(object); v; v = ims_json_next(v)) {
    bool known = false;
    for (size_t i = 0; i < count; i++)
      known = known || strcmp(ims_json_key(v), names[i]) == 0;
    if (!known)
      return false;
    found++;
  }
  return ims_json_type(object) == IMS_JSON_OBJECT && found == count;
}

static int32_t read_critical(ims_claim *claim, const ims_json_value *critical, ims_error *err) {
  static const char *const members[] = {"identity", "image", "type"};
  static const char *const of_identity[] = {"docker-reference"}, *const of_image[] = {"docker-manifest-digest"};
  const ims_json_value *identity = ims_json_get(critical, "identity"), *image = ims_json_get(critical, "image");
  if (!has_only(critical, members, 3) || !has_only(identity, of_identity, 1) || !has_only(image, of_image, 1))
    return ims_fail(err, IMGSTORE_EFORMAT, "what is critical is not identity, image and type alone");
  const char *type = ims_json_string(ims_json_get(critical, "type"));
  if (!type ||
      (strcmp(type, "cosign container image signature") != 0 && strcmp(type, "atomic container signature") != 0))
    return ims_fail(err, IMGSTORE_EFORMAT, "type is \"%.100s\"", type ? type : "");
  const char *name = ims_json_string(ims_json_get(identity, "docker-reference"));
  const char *digest = ims_json_string(ims_json_get(image, "docker-manifest-digest"));
  if (!name || !digest || strlen(name) >= sizeof claim->identity)
    return ims_fail(err, IMGSTORE_EFORMAT, "docker-reference or docker-manifest-digest is not what it should be");
  memcpy(claim->identity, name, strlen(name) + 1);
  return ims_digest_parse(&claim->digest, digest, strlen(digest), err);
}

int32_t ims_simple_payload_read(ims_claim *claim, const ims_alloc *alloc, const void *data, size_t size,
                                ims_error *err) {
  ims_json *json;
  memset(claim, 0, sizeof *claim);
  int32_t rc = ims_json_parse(&json, alloc, data, size, "payload", err);
  if (rc)
    return rc;
  rc = read_critical(claim, ims_json_get(ims_json_root(json), "critical"), err);
  ims_json_free(json);
  return rc ? ims_error_prefix(err, "payload") : IMGSTORE_OK;
}

void ims_simple_payload_write(ims_buf *out, const char *identity, const ims_digest *digest) {
  ims_buf_puts(out, "{\"critical\":{\"identity\":{\"docker-reference\":");
  ims_json_put_string(out, identity, strlen(identity));
  ims_buf_printf(out, "},\"image\":{\"docker-manifest-digest\":\"%s\"},\"type\":\"cosign container image signature\"},",
                 digest->text);
  ims_buf_puts(out, "\"optional\":null}");
}

/* --- in-toto --------------------------------------------------------------------------------------------------------
 */

/* {"sha256": "hex", ...}: any of them may be the one. */
static void read_subject(ims_statement *statement, const ims_json_value *digests, const ims_digest *about) {
  for (const ims_json_value *v = ims_json_first(digests); v; v = ims_json_next(v)) {
    char text[IMS_DIGEST_TEXT];
    ims_digest digest;
    const char *hex = ims_json_string(v);
    int size = hex ? snprintf(text, sizeof text, "%s:%s", ims_json_key(v), hex) : -1;
    if (size < 0 || (size_t)size >= sizeof text || ims_digest_parse(&digest, text, (size_t)size, NULL))
      continue;
    if (!statement->subject.algorithm)
      statement->subject = digest;
    statement->is_about = statement->is_about || ims_digest_equal(&digest, about);
  }
}

static int32_t read_statement(ims_statement *statement, const ims_json_value *root, const ims_digest *about,
                              ims_error *err) {
  const char *type = ims_json_string(ims_json_get(root, "_type"));
  const char *predicate = ims_json_string(ims_json_get(root, "predicateType"));
  const ims_json_value *subjects = ims_json_get(root, "subject");
  if (!type || !ims_starts_with(type, "https://in-toto.io/Statement/"))
    return ims_fail(err, IMGSTORE_EFORMAT, "_type is not an in-toto statement's");
  if (!predicate || strlen(predicate) >= sizeof statement->predicate_type)
    return ims_fail(err, IMGSTORE_EFORMAT, "predicateType is not a short text");
  if (ims_json_type(subjects) != IMS_JSON_ARRAY)
    return ims_fail(err, IMGSTORE_EFORMAT, "subject is not an array");
  memcpy(statement->predicate_type, predicate, strlen(predicate) + 1);
  for (const ims_json_value *v = ims_json_first(subjects); v; v = ims_json_next(v)) {
    const ims_json_value *digests = ims_json_get(v, "digest");
    if (ims_json_type(digests) == IMS_JSON_OBJECT)
      read_subject(statement, digests, about);
  }
  return IMGSTORE_OK;
}

int32_t ims_statement_read(ims_statement *statement, const ims_alloc *alloc, const void *data, size_t size,
                           const ims_digest *about, ims_error *err) {
  ims_json *json;
  memset(statement, 0, sizeof *statement);
  int32_t rc = ims_json_parse(&json, alloc, data, size, "statement", err);
  if (rc)
    return rc;
  rc = read_statement(statement, ims_json_root(json), about, err);
  ims_json_free(json);
  return rc ? ims_error_prefix(err, "statement") : IMGSTORE_OK;
}

void ims_dsse_encode(ims_buf *out, const char *type, const void *payload, size_t size) {
  ims_buf_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, size);
  ims_buf_append(out, payload, size);
}
