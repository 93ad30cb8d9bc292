/*
 * sign/policy.c (L1) - the rules of a policy: scopes, requirements, keys; which scope is for a name, and whose
 * signature may vouch for it.
 */
#include "sign/policy.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

int32_t ims_policy_new(imgstore_policy **policy, ims_core *core, ims_error *err) {
  *policy = ims_calloc(&core->alloc, 1, sizeof **policy);
  if (!*policy)
    return ims_fail_nomem(err);
  atomic_init(&(*policy)->refs, 1);
  (*policy)->core = ims_core_ref(core);
  (*policy)->alloc = core->alloc;
  return IMGSTORE_OK;
}

imgstore_policy *ims_policy_ref(imgstore_policy *policy) {
  if (policy)
    atomic_fetch_add_explicit(&policy->refs, 1, memory_order_relaxed);
  return policy;
}

static void requirement_free(ims_requirement *r, const ims_alloc *a) {
  if (!r)
    return;
  for (size_t i = 0; i < r->key_count; i++)
    ims_key_free(r->keys[i], a);
  ims_free(a, r->identity_name);
  ims_free(a, r->identity_signed_prefix);
  ims_free(a, r->unsupported);
  ims_free(a, r);
}

static void scope_free(ims_scope *s, const ims_alloc *a) {
  if (!s)
    return;
  for (size_t i = 0; i < s->count; i++)
    requirement_free(s->requirements[i], a);
  ims_free(a, s->name);
  ims_free(a, s);
}

void ims_policy_unref(imgstore_policy *policy) {
  if (!policy || atomic_fetch_sub_explicit(&policy->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_alloc a = policy->alloc;
  ims_core *core = policy->core;
  for (size_t i = 0; i < policy->count; i++)
    scope_free(policy->scopes[i], &a);
  ims_free(&a, policy->scopes);
  ims_free(&a, policy->rules);
  ims_free(&a, policy);
  ims_core_unref(core);
}

/* --- rules ----------------------------------------------------------------------------------------------------------
 */

/* The first size bytes of two names; their hosts have no case, what comes after them has. */
static bool has_same_start(const char *a, const char *b, size_t size) {
  const char *slash = memchr(b, '/', size);
  size_t host = slash ? (size_t)(slash - b) : size;
  return strlen(a) >= size && ims_equal_fold_n(a, host, b, host) && memcmp(a + host, b + host, size - host) == 0;
}

static ims_scope *find_scope(const imgstore_policy *policy, const char *name, size_t size) {
  for (size_t i = 0; i < policy->count; i++)
    if (strlen(policy->scopes[i]->name) == size && has_same_start(policy->scopes[i]->name, name, size))
      return policy->scopes[i];
  return NULL;
}

/* "*.HOST", HOST, HOST/PATH..., HOST/REPOSITORY:TAG or @DIGEST, or "". */
static int32_t check_scope(const char *name, ims_error *err) {
  size_t host = strcspn(name, "/"), size = strlen(name);
  const char *first = ims_starts_with(name, "*.") ? name + 2 : name;
  if (!size)
    return IMGSTORE_OK;
  bool wild_path = first != name && host != size;
  if (wild_path || ims_host_check(first, host - (size_t)(first - name), NULL) != IMGSTORE_OK || name[size - 1] == '/')
    return ims_fail(err, IMGSTORE_EFORMAT, "\"%.300s\": is not a scope such as HOST, HOST/PATH or HOST/REPOSITORY:TAG",
                    name);
  return IMGSTORE_OK;
}

static int32_t add_scope(imgstore_policy *policy, const char *name, ims_scope **scope, ims_error *err) {
  *scope = find_scope(policy, name, strlen(name));
  if (*scope)
    return IMGSTORE_OK;
  int32_t rc = check_scope(name, err);
  if (rc)
    return rc;
  if (policy->count >= IMS_POLICY_SCOPES_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "a policy of more than %d scopes", IMS_POLICY_SCOPES_MAX);
  if (policy->count == policy->capacity) {
    size_t capacity = policy->capacity ? policy->capacity * 2 : 8;
    ims_scope **scopes = ims_realloc_array(&policy->alloc, policy->scopes, capacity, sizeof *scopes);
    if (!scopes)
      return ims_fail_nomem(err);
    policy->scopes = scopes;
    policy->capacity = capacity;
  }
  ims_scope *made = ims_calloc(&policy->alloc, 1, sizeof *made);
  if (made)
    made->name = ims_strdup(&policy->alloc, name);
  if (!made || !made->name) {
    scope_free(made, &policy->alloc);
    return ims_fail_nomem(err);
  }
  *scope = policy->scopes[policy->count++] = made;
  return IMGSTORE_OK;
}

static int32_t reserve_rule(imgstore_policy *policy, ims_error *err) {
  if (policy->rule_count < policy->rule_capacity)
    return IMGSTORE_OK;
  size_t capacity = policy->rule_capacity ? policy->rule_capacity * 2 : 8;
  void *rules = ims_realloc_array(&policy->alloc, policy->rules, capacity, sizeof *policy->rules);
  if (!rules)
    return ims_fail_nomem(err);
  policy->rules = rules;
  policy->rule_capacity = capacity;
  return IMGSTORE_OK;
}

int32_t ims_policy_add(imgstore_policy *policy, const char *scope_name, const imgstore_policy_rule *rule,
                       ims_requirement **requirement, ims_error *err) {
  ims_scope *scope;
  int32_t rc = reserve_rule(policy, err);
  if (!rc)
    rc = add_scope(policy, scope_name, &scope, err);
  if (rc)
    return rc;
  if (scope->count == IMS_POLICY_REQUIREMENTS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %d rules", scope_name, IMS_POLICY_REQUIREMENTS_MAX);
  ims_requirement *made = ims_calloc(&policy->alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  made->require = rule->require;
  made->warn = (rule->flags & IMGSTORE_TRUST_WARN) != 0;
  made->signatures = rule->signatures ? rule->signatures : 1;
  made->identity = rule->identity;
  scope->requirements[scope->count++] = made;
  policy->rules[policy->rule_count].scope = scope;
  policy->rules[policy->rule_count++].requirement = made;
  *requirement = made;
  return IMGSTORE_OK;
}

int32_t ims_policy_add_key(imgstore_policy *policy, ims_requirement *r, const void *pem, size_t size, const char *name,
                           ims_error *err) {
  ims_key *key;
  if (r->key_count == IMS_POLICY_KEYS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %d keys in one rule", name, IMS_POLICY_KEYS_MAX);
  int32_t rc = ims_key_parse(&key, &policy->alloc, pem, size, name, err);
  if (rc)
    return rc;
  for (size_t i = 0; i < r->key_count; i++)
    if (ims_key_equal(r->keys[i], key)) {
      ims_key_free(key, &policy->alloc);
      return IMGSTORE_OK;
    }
  r->keys[r->key_count++] = key;
  return IMGSTORE_OK;
}

/* --- which scope ----------------------------------------------------------------------------------------------------
 */

static const ims_scope *find_joined(const imgstore_policy *policy, const imgstore_reference *r, char mark,
                                    const char *end) {
  char name[1024];
  int size = snprintf(name, sizeof name, "%s/%s%c%s", r->host, r->repository, mark, end);
  return size > 0 && (size_t)size < sizeof name ? find_scope(policy, name, (size_t)size) : NULL;
}

/* HOST/REPOSITORY, then its parents, down to HOST. */
static const ims_scope *find_path(const imgstore_policy *policy, const imgstore_reference *r) {
  char name[1024];
  int written = snprintf(name, sizeof name, "%s/%s", r->host, r->repository);
  if (written < 0 || (size_t)written >= sizeof name)
    return NULL;
  for (size_t size = (size_t)written; size;) {
    const ims_scope *scope = find_scope(policy, name, size);
    if (scope)
      return scope;
    while (size && name[size - 1] != '/')
      size--;
    size -= size != 0;
  }
  return NULL;
}

/* "*.DOMAIN:PORT", then "*.DOMAIN", which is for every port. */
static const ims_scope *find_wildcard(const imgstore_policy *policy, const char *host) {
  char name[512];
  for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.')) {
    int size = snprintf(name, sizeof name, "*%s", dot);
    if (size < 0 || (size_t)size >= sizeof name)
      continue;
    const ims_scope *scope = find_scope(policy, name, (size_t)size);
    if (!scope)
      scope = find_scope(policy, name, strcspn(name, ":"));
    if (scope)
      return scope;
  }
  return NULL;
}

const ims_scope *ims_policy_find(const imgstore_policy *policy, const imgstore_reference *r) {
  const ims_scope *scope = r->digest.algorithm ? find_joined(policy, r, '@', r->digest.text) : NULL;
  if (!scope && r->tag)
    scope = find_joined(policy, r, ':', r->tag);
  if (!scope)
    scope = find_path(policy, r);
  if (!scope)
    scope = find_wildcard(policy, r->host);
  return scope ? scope : find_scope(policy, "", 0);
}

/* --- whose signature ------------------------------------------------------------------------------------------------
 */

static bool has_tag_or_digest(const char *name) {
  const char *last = strrchr(name, '/');
  return strpbrk(last ? last : name, ":@") != NULL;
}

static bool same_repository(const imgstore_reference *a, const imgstore_reference *b) {
  return ims_equal_fold(a->host, b->host) && strcmp(a->repository, b->repository) == 0;
}

static bool same_text(const char *a, const char *b) {
  return a && b && strcmp(a, b) == 0;
}

/* claimed was written with a tag or digest, which is all that distinguishes it from its default. */
static bool is_exact(const imgstore_reference *claimed, const char *text, const imgstore_reference *wanted) {
  return has_tag_or_digest(text) && same_repository(claimed, wanted) && !claimed->digest.algorithm &&
         same_text(claimed->tag, wanted->tag);
}

/* By digest the repository must be the same, by tag the tag as well. */
static bool is_exact_or_by_digest(const imgstore_reference *claimed, const char *text,
                                  const imgstore_reference *wanted) {
  return wanted->digest.algorithm ? same_repository(claimed, wanted) : is_exact(claimed, text, wanted);
}

static bool matches_given(const ims_requirement *r, const imgstore_reference *claimed, const char *text,
                          const ims_alloc *alloc) {
  imgstore_reference *given;
  if (ims_reference_parse(&given, alloc, r->identity_name, NULL) != IMGSTORE_OK)
    return false;
  bool matches = r->identity == IMS_IDENTITY_EXACT_REPOSITORY
                     ? same_repository(claimed, given)
                     : has_tag_or_digest(text) && strcmp(claimed->name, given->name) == 0;
  imgstore_reference_unref(given);
  return matches;
}

/* prefix: HOST, with its port, or HOST/PATH. */
static bool is_below(const imgstore_reference *reference, const char *prefix, size_t size) {
  size_t repository = strlen(reference->host) + 1 + strlen(reference->repository);
  return size <= repository && has_same_start(reference->name, prefix, size) &&
         (size == repository || reference->name[size] == '/');
}

/* The name that was asked for with its prefix replaced, when it has that prefix. */
static bool matches_remapped(const ims_requirement *r, const imgstore_reference *claimed, const char *text,
                             const imgstore_reference *wanted, const ims_alloc *alloc) {
  char name[2048];
  imgstore_reference *remapped;
  size_t prefix = strlen(r->identity_name);
  if (!is_below(wanted, r->identity_name, prefix))
    return is_exact_or_by_digest(claimed, text, wanted);
  int size = snprintf(name, sizeof name, "%s%s", r->identity_signed_prefix, wanted->name + prefix);
  if (size < 0 || (size_t)size >= sizeof name || ims_reference_parse(&remapped, alloc, name, NULL) != IMGSTORE_OK)
    return false;
  bool matches = is_exact_or_by_digest(claimed, text, remapped);
  imgstore_reference_unref(remapped);
  return matches;
}

static bool matches_name(const ims_requirement *r, const imgstore_reference *claimed, const char *text,
                         const imgstore_reference *wanted, const ims_alloc *alloc) {
  switch (r->identity) {
  case IMGSTORE_IDENTITY_REPOSITORY:
    return same_repository(claimed, wanted);
  case IMGSTORE_IDENTITY_EXACT:
    return is_exact_or_by_digest(claimed, text, wanted);
  case IMS_IDENTITY_MATCH_EXACT:
    return !wanted->digest.algorithm && is_exact(claimed, text, wanted);
  case IMS_IDENTITY_REMAP:
    return matches_remapped(r, claimed, text, wanted, alloc);
  default:
    return matches_given(r, claimed, text, alloc);
  }
}

bool ims_identity_matches(const ims_requirement *r, const imgstore_reference *wanted, const ims_claim *claim,
                          const ims_alloc *alloc) {
  imgstore_reference *claimed;
  if (r->identity == IMGSTORE_IDENTITY_ANY)
    return true;
  if (ims_reference_parse(&claimed, alloc, claim->identity, NULL) != IMGSTORE_OK)
    return false;
  bool matches = matches_name(r, claimed, claim->identity, wanted, alloc);
  imgstore_reference_unref(claimed);
  return matches;
}
