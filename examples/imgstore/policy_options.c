/* policy_options.c - the options that say which signatures an image must have. */
#include <string.h>

#include "cli.h"

static const option policy_options[] = {
    {OPTION_POLICY, 0, "policy", "FILE", "take only what the policy in FILE allows\n(containers-policy.json)"},
    {OPTION_VERIFY_KEY, 0, "verify-key", "FILE",
     "take only what this public key (PEM) has signed;\n"
     "given again: any of the keys"},
    {OPTION_ANY_IDENTITY, 0, "any-identity", NULL,
     "with a key: a signature made for another name\n"
     "counts as well"},
    ROW_END};
const option_group group_policy = {"Signature options", policy_options};

static int32_t add_keys(cli *c, imgstore_policy *policy, imgstore_error **error) {
  imgstore_policy_rule rule;
  size_t number = 0;
  imgstore_policy_rule_init(&rule, sizeof rule);
  if (option_given(&c->args, OPTION_ANY_IDENTITY))
    rule.identity = IMGSTORE_IDENTITY_ANY;
  int32_t code = imgstore_policy_add_rule(policy, "", &rule, &number, error);
  for (size_t i = 0; code == IMGSTORE_OK && i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_VERIFY_KEY)
      code = imgstore_policy_add_key_file(policy, number, c->args.options[i].value, error);
  return code;
}

int cli_open_policy(cli *c, imgstore_policy **policy) {
  imgstore_error *error = NULL;
  const char *file = option_value(&c->args, OPTION_POLICY);
  bool keys = option_given(&c->args, OPTION_VERIFY_KEY);
  *policy = NULL;
  if (file && keys)
    return cli_usage(c, "a policy file and keys exclude each other");
  if (option_given(&c->args, OPTION_ANY_IDENTITY) && !keys)
    return cli_usage(c, "--any-identity is about keys: give one");
  if (!file && !keys)
    return CLI_OK;
  int32_t code =
      file ? imgstore_policy_load(c->context, file, policy, &error) : imgstore_policy_new(c->context, policy, &error);
  if (code == IMGSTORE_OK && keys)
    code = add_keys(c, *policy, &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}
