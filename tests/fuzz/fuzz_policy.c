/*
 * tests/fuzz/fuzz_policy.c - policy files: one that is taken decides about every name, and never by a requirement that
 * is not one of those there are.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/sign_vectors.h"
#include "sign/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
  if (!truth)
    abort();
}

static int32_t give_key(void *data, const char *path, ims_buf *out, ims_error *err) {
  if (strlen(path) > 8)
    return ims_fail(err, IMGSTORE_ENOTFOUND, "%s: no such file", path);
  return ims_buf_puts(out, key_p256) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static void check_requirement(const ims_requirement *r) {
  bool known = r->require == IMGSTORE_TRUST_ACCEPT || r->require == IMGSTORE_TRUST_REJECT ||
               r->require == IMGSTORE_TRUST_SIGNED || r->require == IMS_TRUST_UNSUPPORTED;
  require(known && r->signatures >= 1 && r->signatures <= IMS_POLICY_KEYS_MAX);
  require((r->require == IMS_TRUST_UNSUPPORTED) == (r->unsupported != NULL));
  require(r->require != IMGSTORE_TRUST_SIGNED || r->key_count);
}

/* Without signatures nothing but an acceptance accepts. */
static void check_trial(const imgstore_policy *policy, const char *name) {
  imgstore_reference *reference;
  ims_digest subject;
  ims_trial trial;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_parse(&subject, SIGNED_DIGEST, strlen(SIGNED_DIGEST), NULL);
  if (ims_reference_parse(&reference, &ims_alloc_default, name, NULL) != IMGSTORE_OK)
    return;
  ims_trial_init(&trial, policy, reference, &subject, 1);
  require(trial.scope != NULL); /* a policy file has a default */
  int32_t rc = ims_trial_end(&trial, &err);
  for (size_t i = 0; i < trial.scope->count; i++)
    require(rc != IMGSTORE_OK || trial.scope->requirements[i]->require == IMGSTORE_TRUST_ACCEPT ||
            trial.scope->requirements[i]->warn);
  require(rc == IMGSTORE_OK || (rc == IMGSTORE_EUNTRUSTED && err.message[0]));
  imgstore_reference_unref(reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  imgstore_context *context;
  imgstore_policy *policy;
  ims_error err = IMS_ERROR_INIT;
  require(imgstore_context_new(NULL, &context, NULL) == IMGSTORE_OK);
  require(ims_policy_new(&policy, context, NULL) == IMGSTORE_OK);
  int32_t rc = ims_policy_read(policy, data, size, "policy.json", give_key, NULL, &err);
  require((rc == IMGSTORE_OK) == (err.message[0] == '\0'));
  for (size_t i = 0; i < policy->count && rc == IMGSTORE_OK; i++)
    for (size_t k = 0; k < policy->scopes[i]->count; k++)
      check_requirement(policy->scopes[i]->requirements[k]);
  if (rc == IMGSTORE_OK) {
    check_trial(policy, "registry.test/app:1");
    check_trial(policy, "alpine");
    check_trial(policy, "a.test/b@" SIGNED_DIGEST);
  }
  ims_policy_unref(policy);
  imgstore_context_free(context);
  return 0;
}
