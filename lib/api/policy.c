/*
 * api/policy.c (L5) - include/imgstore/policy.h: policies, rules and keys.
 */
#include "imgstore/policy.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/attached.h"
#include "engine/policy_load.h"

static const imgstore_policy_rule rule_defaults = {sizeof(imgstore_policy_rule), IMGSTORE_TRUST_SIGNED, 0, 1,
                                                   IMGSTORE_IDENTITY_REPOSITORY};

int32_t imgstore_policy_rule_init(imgstore_policy_rule *rule, size_t size) {
  return ims_options_init(rule, size, &rule_defaults, sizeof rule_defaults);
}

static const imgstore_policy_options options_defaults = {.size = sizeof(imgstore_policy_options)};

int32_t imgstore_policy_options_init(imgstore_policy_options *options, size_t size) {
  return ims_options_init(options, size, &options_defaults, sizeof options_defaults);
}

int32_t imgstore_policy_new(imgstore_context *context, imgstore_policy **policy, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (policy)
    *policy = NULL;
  if (!context || !policy)
    return ims_api_invalid("context and policy are required", context ? &context->alloc : NULL, error);
  return ims_api_result(ims_policy_new(policy, context, &err), &err, &context->alloc, error);
}

int32_t imgstore_policy_load(imgstore_context *context, const char *path, imgstore_policy **policy,
                             imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (policy)
    *policy = NULL;
  if (!context || !path || !policy)
    return ims_api_invalid("context, path and policy are required", context ? &context->alloc : NULL, error);
  return ims_api_result(ims_policy_load(policy, context, path, &err), &err, &context->alloc, error);
}

static int32_t check_rule(const imgstore_policy_rule *rule, ims_error *err) {
  if (rule->require < IMGSTORE_TRUST_ACCEPT || rule->require > IMGSTORE_TRUST_SIGNED)
    return ims_fail(err, IMGSTORE_EINVALID, "require: %d is not one of IMGSTORE_TRUST_*", rule->require);
  if (rule->identity < IMGSTORE_IDENTITY_REPOSITORY || rule->identity > IMGSTORE_IDENTITY_ANY)
    return ims_fail(err, IMGSTORE_EINVALID, "identity: %d is not one of IMGSTORE_IDENTITY_*", rule->identity);
  if (rule->signatures > IMS_POLICY_KEYS_MAX)
    return ims_fail(err, IMGSTORE_EINVALID, "signatures: %u is more than %d", (unsigned)rule->signatures,
                    IMS_POLICY_KEYS_MAX);
  if (rule->flags & ~(uint32_t)IMGSTORE_TRUST_WARN)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_policy_rule: unknown flags %#x", (unsigned)rule->flags);
  return IMGSTORE_OK;
}

/* An operation that uses it has a reference of its own. */
static int32_t check_unused(imgstore_policy *policy, ims_error *err) {
  return atomic_load(&policy->refs) == 1
             ? IMGSTORE_OK
             : ims_fail(err, IMGSTORE_EBUSY, "the policy is in use by an operation and cannot be changed");
}

int32_t imgstore_policy_add_rule(imgstore_policy *policy, const char *scope, const imgstore_policy_rule *rule,
                                 size_t *number, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_policy_rule own = rule_defaults;
  ims_requirement *requirement;
  if (number)
    *number = 0;
  if (!policy || !scope)
    return ims_api_invalid("policy and scope are required", policy ? &policy->alloc : NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, rule, sizeof own, "imgstore_policy_rule", &err);
  if (!rc)
    rc = check_rule(&own, &err);
  if (!rc)
    rc = check_unused(policy, &err);
  if (!rc)
    rc = ims_policy_add(policy, scope, &own, &requirement, &err);
  if (!rc && number)
    *number = policy->rule_count - 1;
  return ims_api_result(rc, &err, &policy->alloc, error);
}

static int32_t find_rule(imgstore_policy *policy, size_t number, ims_requirement **requirement, ims_error *err) {
  if (number >= policy->rule_count)
    return ims_fail(err, IMGSTORE_EINVALID, "the policy has no rule %zu", number);
  *requirement = policy->rules[number].requirement;
  return check_unused(policy, err);
}

int32_t imgstore_policy_add_key(imgstore_policy *policy, size_t number, const void *pem, size_t size, const char *name,
                                imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_requirement *requirement = NULL;
  if (!policy || !pem)
    return ims_api_invalid("policy and pem are required", policy ? &policy->alloc : NULL, error);
  int32_t rc = find_rule(policy, number, &requirement, &err);
  if (!rc)
    rc = ims_policy_add_key(policy, requirement, pem, size, name ? name : "the key", &err);
  return ims_api_result(rc, &err, &policy->alloc, error);
}

int32_t imgstore_policy_add_key_file(imgstore_policy *policy, size_t number, const char *path, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_requirement *requirement = NULL;
  if (!policy || !path)
    return ims_api_invalid("policy and path are required", policy ? &policy->alloc : NULL, error);
  int32_t rc = find_rule(policy, number, &requirement, &err);
  if (!rc)
    rc = ims_policy_add_key_file(policy, requirement, path, &err);
  return ims_api_result(rc, &err, &policy->alloc, error);
}

int32_t imgstore_policy_check_start(imgstore_policy *policy, imgstore_registry *registry, const char *reference,
                                    const imgstore_policy_options *options, imgstore_operation **operation,
                                    imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_policy_options own = options_defaults;
  if (operation)
    *operation = NULL;
  if (!policy || !registry || !reference || !operation)
    return ims_api_invalid("policy, registry, reference and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_policy_options", &err);
  if (!rc && ((own.flags & ~(uint32_t)IMGSTORE_POLICY_CHECK_ALL_PLATFORMS) || own.reserved))
    rc = ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_policy_options: unknown flags %#x", (unsigned)own.flags);
  if (!rc)
    rc = ims_policy_check_start(operation, policy, registry, reference, &own, &err);
  return ims_api_result(rc, &err, &policy->alloc, error);
}

int32_t imgstore_policy_check(imgstore_policy *policy, imgstore_registry *registry, const char *reference,
                              const imgstore_policy_options *options, imgstore_report **report,
                              imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_policy_check_start(policy, registry, reference, options, &op, error);
  if (rc)
    return rc;
  return ims_api_finish(op, NULL, report, error);
}

void imgstore_policy_free(imgstore_policy *policy) {
  ims_policy_unref(policy);
}
