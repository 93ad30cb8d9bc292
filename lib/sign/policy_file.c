/*
 * sign/policy_file.c (L1) - the policy file: the part of containers-policy.json(5) that is about registries and keys,
 * read strictly. A requirement that cannot be checked here is kept as one that never holds. Key files are read by the
 * caller.
 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "sign/policy.h"
#include "json/json.h"

typedef struct reader {
  imgstore_policy *policy;
  ims_key_file_read read_key;
  void *data;
  ims_error *err;
} reader;

static int32_t bad(reader *r, const char *scope, const char *what) {
  return ims_fail(r->err, IMGSTORE_EFORMAT, "%s: %s", scope[0] ? scope : "default", what);
}

/* Every member must be one of names (NULL-terminated). */
static int32_t check_members(reader *r, const char *scope, const ims_json_value *object, const char *const *names) {
  for (const ims_json_value *v = ims_json_first(object); v; v = ims_json_next(v)) {
    size_t i = 0;
    while (names[i] && strcmp(names[i], ims_json_key(v)) != 0)
      i++;
    if (!names[i])
      return ims_fail(r->err, IMGSTORE_EFORMAT, "%s: unknown member \"%.100s\"", scope[0] ? scope : "default",
                      ims_json_key(v));
  }
  return IMGSTORE_OK;
}

/* --- keys -----------------------------------------------------------------------------------------------------------
 */

static int32_t add_key_file(reader *r, ims_requirement *q, const char *path) {
  ims_buf pem;
  ims_buf_init(&pem, &r->policy->alloc, IMS_KEY_PEM_MAX);
  int32_t rc = r->read_key(r->data, path, &pem, r->err);
  if (!rc)
    rc = ims_policy_add_key(r->policy, q, ims_buf_text(&pem), pem.size, path, r->err);
  ims_buf_free(&pem);
  return rc;
}

static int32_t add_key_data(reader *r, ims_requirement *q, const char *scope, const char *text) {
  char name[128];
  size_t length = strlen(text), size;
  uint8_t *pem = ims_malloc(&r->policy->alloc, IMS_BASE64_DECODED(length) + 1);
  if (!pem)
    return ims_fail_nomem(r->err);
  snprintf(name, sizeof name, "key %zu of \"%.80s\"", q->key_count + 1, scope);
  int32_t rc = ims_base64_decode(text, length, pem, &size) ? bad(r, scope, "keyData is not base64")
                                                           : ims_policy_add_key(r->policy, q, pem, size, name, r->err);
  ims_free(&r->policy->alloc, pem);
  return rc;
}

static int32_t add_one(reader *r, ims_requirement *q, const char *scope, const ims_json_value *v, bool is_file) {
  const char *text = ims_json_string(v);
  if (!text || !*text)
    return bad(r, scope, "a key is not a text");
  return is_file ? add_key_file(r, q, text) : add_key_data(r, q, scope, text);
}

/* keyPath, keyPaths, keyData, keyDatas: just one of them. */
static int32_t read_keys(reader *r, ims_requirement *q, const char *scope, const ims_json_value *object) {
  static const char *const names[] = {"keyPath", "keyData", "keyPaths", "keyDatas"};
  int32_t rc = IMGSTORE_OK;
  size_t given = 0;
  for (size_t i = 0; i < 4 && !rc; i++) {
    const ims_json_value *v = ims_json_get(object, names[i]);
    given += v != NULL;
    if (v && i < 2)
      rc = add_one(r, q, scope, v, i == 0);
    if (v && i >= 2 && (ims_json_type(v) != IMS_JSON_ARRAY || !ims_json_first(v)))
      rc = bad(r, scope, "a list of keys is not one or is empty");
    for (v = i >= 2 && !rc ? ims_json_first(v) : NULL; v && !rc; v = ims_json_next(v))
      rc = add_one(r, q, scope, v, i == 2);
  }
  return rc || given == 1 ? rc : bad(r, scope, "sigstoreSigned wants one of keyPath, keyPaths, keyData, keyDatas");
}

/* --- signedIdentity -------------------------------------------------------------------------------------------------
 */

typedef struct identity_form {
  const char *type;
  int32_t identity;
  const char *name, *second; /* members that it has */
} identity_form;

static const identity_form identities[] = {
    {"matchExact", IMS_IDENTITY_MATCH_EXACT, NULL, NULL},
    {"matchRepoDigestOrExact", IMGSTORE_IDENTITY_EXACT, NULL, NULL},
    {"matchRepository", IMGSTORE_IDENTITY_REPOSITORY, NULL, NULL},
    {"exactReference", IMS_IDENTITY_EXACT_REFERENCE, "dockerReference", NULL},
    {"exactRepository", IMS_IDENTITY_EXACT_REPOSITORY, "dockerRepository", NULL},
    {"remapIdentity", IMS_IDENTITY_REMAP, "prefix", "signedPrefix"},
};

static int32_t copy_member(reader *r, const char *scope, const ims_json_value *object, const char *name, char **out) {
  const char *text = name ? ims_json_string(ims_json_get(object, name)) : NULL;
  if (!name)
    return IMGSTORE_OK;
  if (!text || !*text)
    return bad(r, scope, "signedIdentity: a name is missing");
  *out = ims_strdup(&r->policy->alloc, text);
  return *out ? IMGSTORE_OK : ims_fail_nomem(r->err);
}

static int32_t read_identity(reader *r, ims_requirement *q, const char *scope, const ims_json_value *object) {
  const char *type = ims_json_string(ims_json_get(object, "type"));
  imgstore_reference *reference;
  for (size_t i = 0; type && i < sizeof identities / sizeof *identities; i++) {
    const identity_form *f = &identities[i];
    const char *const members[] = {"type", f->name, f->second, NULL};
    if (strcmp(f->type, type) != 0)
      continue;
    q->identity = f->identity;
    int32_t rc = check_members(r, scope, object, members);
    if (!rc)
      rc = copy_member(r, scope, object, f->name, &q->identity_name);
    if (!rc)
      rc = copy_member(r, scope, object, f->second, &q->identity_signed_prefix);
    if (rc || !f->name || f->second)
      return rc;
    rc = ims_reference_parse(&reference, &r->policy->alloc, q->identity_name, r->err);
    imgstore_reference_unref(reference);
    return rc;
  }
  return bad(r, scope, "signedIdentity is of no type that is known");
}

/* --- requirements ---------------------------------------------------------------------------------------------------
 */

static int32_t mark_unsupported(reader *r, ims_requirement *q, const char *what) {
  q->require = IMS_TRUST_UNSUPPORTED;
  q->unsupported = ims_strdup(&r->policy->alloc, what);
  return q->unsupported ? IMGSTORE_OK : ims_fail_nomem(r->err);
}

/* Two members of our own: "signatures" (how many keys must have signed), "onFailure" ("reject" or "warn"). */
static int32_t read_extensions(reader *r, ims_requirement *q, const char *scope, const ims_json_value *object) {
  const ims_json_value *count = ims_json_get(object, "signatures"), *failure = ims_json_get(object, "onFailure");
  const char *text = ims_json_string(failure);
  uint64_t signatures = 1;
  if (count && (!ims_json_uint(count, &signatures) || !signatures || signatures > IMS_POLICY_KEYS_MAX))
    return bad(r, scope, "signatures is not a number from 1 to 32");
  if (failure && (!text || (strcmp(text, "warn") != 0 && strcmp(text, "reject") != 0)))
    return bad(r, scope, "onFailure is neither \"reject\" nor \"warn\"");
  q->signatures = (uint32_t)signatures;
  q->warn = text && strcmp(text, "warn") == 0;
  return IMGSTORE_OK;
}

static int32_t read_sigstore(reader *r, ims_requirement *q, const char *scope, const ims_json_value *object) {
  static const char *const members[] = {"type",       "keyPath",        "keyPaths",  "keyData", "keyDatas",
                                        "signatures", "signedIdentity", "onFailure", NULL};
  static const char *const keyless[] = {
      "fulcio", "pki", "rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"};
  char what[80];
  for (size_t i = 0; i < sizeof keyless / sizeof *keyless; i++)
    if (ims_json_get(object, keyless[i])) {
      snprintf(what, sizeof what, "sigstoreSigned with %s", keyless[i]);
      return mark_unsupported(r, q, what);
    }
  const ims_json_value *identity = ims_json_get(object, "signedIdentity");
  int32_t rc = check_members(r, scope, object, members);
  if (!rc)
    rc = read_extensions(r, q, scope, object);
  if (!rc && identity)
    rc = read_identity(r, q, scope, identity);
  return rc ? rc : read_keys(r, q, scope, object);
}

static int32_t read_requirement(reader *r, const char *scope, const ims_json_value *object) {
  static const char *const only_type[] = {"type", NULL};
  imgstore_policy_rule rule = {sizeof rule, IMGSTORE_TRUST_SIGNED, 0, 1, IMGSTORE_IDENTITY_EXACT};
  const char *type = ims_json_string(ims_json_get(object, "type"));
  ims_requirement *q;
  if (!type)
    return bad(r, scope, "a requirement has no type");
  bool accept = strcmp(type, "insecureAcceptAnything") == 0, reject = strcmp(type, "reject") == 0;
  if (accept || reject)
    rule.require = accept ? IMGSTORE_TRUST_ACCEPT : IMGSTORE_TRUST_REJECT;
  int32_t rc = ims_policy_add(r->policy, scope, &rule, &q, r->err);
  if (rc)
    return rc;
  if (accept || reject)
    return check_members(r, scope, object, only_type);
  if (strcmp(type, "sigstoreSigned") == 0)
    return read_sigstore(r, q, scope, object);
  if (strcmp(type, "signedBy") == 0)
    return mark_unsupported(r, q, "signedBy (OpenPGP)");
  return ims_fail(r->err, IMGSTORE_EFORMAT, "%s: unknown type \"%.100s\"", scope[0] ? scope : "default", type);
}

static int32_t read_scope(reader *r, const char *scope, const ims_json_value *list) {
  int32_t rc = ims_json_type(list) == IMS_JSON_ARRAY && ims_json_first(list)
                   ? IMGSTORE_OK
                   : bad(r, scope, "is not a list of requirements");
  for (const ims_json_value *v = ims_json_first(list); v && !rc; v = ims_json_next(v))
    rc = read_requirement(r, scope, v);
  return rc;
}

static int32_t read_docker(reader *r, const ims_json_value *docker, bool *has_default) {
  int32_t rc = IMGSTORE_OK;
  for (const ims_json_value *v = ims_json_first(docker); v && !rc; v = ims_json_next(v)) {
    rc = read_scope(r, ims_json_key(v), v);
    *has_default = *has_default || !ims_json_key(v)[0];
  }
  return rc;
}

static int32_t read_policy(reader *r, const ims_json_value *root) {
  static const char *const members[] = {"default", "transports", NULL};
  const ims_json_value *transports = ims_json_get(root, "transports"), *docker = ims_json_get(transports, "docker");
  bool has_default = false;
  if (ims_json_type(root) != IMS_JSON_OBJECT || !ims_json_get(root, "default"))
    return bad(r, "", "is missing");
  int32_t rc = check_members(r, "policy", root, members);
  if (!rc && ((transports && ims_json_type(transports) != IMS_JSON_OBJECT) ||
              (docker && ims_json_type(docker) != IMS_JSON_OBJECT)))
    rc = bad(r, "transports", "is not an object of objects");
  if (!rc)
    rc = read_docker(r, docker, &has_default);
  return rc || has_default ? rc : read_scope(r, "", ims_json_get(root, "default"));
}

int32_t ims_policy_read(imgstore_policy *policy, const void *text, size_t size, const char *what,
                        ims_key_file_read read_key, void *data, ims_error *err) {
  reader r = {policy, read_key, data, err};
  ims_json *json;
  int32_t rc = ims_json_parse(&json, &policy->alloc, text, size, what, err);
  if (rc)
    return rc;
  rc = read_policy(&r, ims_json_root(json));
  ims_json_free(json);
  return rc ? ims_error_prefix(err, "%s", what) : IMGSTORE_OK;
}
