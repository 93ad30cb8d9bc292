/*
 * tests/unit/test_policy.c - scopes, identities, policy files and trials, through the internal interface; every
 * allocation failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "imgstore/attached.h"
#include "oci/attached_kind.h"
#include "sign/policy.h"
#include "sign_vectors.h"

static imgstore_context *context_on(const imgstore_allocator *allocator) {
  imgstore_context_options options;
  imgstore_context *context = NULL;
  imgstore_context_options_init(&options, sizeof options);
  options.allocator = allocator;
  imgstore_context_new(&options, &context, NULL);
  return context;
}

static imgstore_policy *new_policy(void) {
  imgstore_context *context = context_on(NULL);
  imgstore_policy *policy = NULL;
  assert_int_equal(imgstore_policy_new(context, &policy, NULL), IMGSTORE_OK);
  imgstore_context_free(context);
  return policy;
}

static imgstore_reference *reference_of(const char *text) {
  imgstore_reference *reference = NULL;
  assert_int_equal(ims_reference_parse(&reference, &ims_alloc_default, text, NULL), IMGSTORE_OK);
  return reference;
}

static ims_digest digest_of(const char *text) {
  ims_digest digest;
  assert_int_equal(ims_digest_parse(&digest, text, strlen(text), NULL), IMGSTORE_OK);
  return digest;
}

/* --- scopes ---------------------------------------------------------------------------------------------------------
 */

static void check_scope(const imgstore_policy *policy, const char *name, const char *scope) {
  imgstore_reference *reference = reference_of(name);
  const ims_scope *found = ims_policy_find(policy, reference);
  if (scope)
    assert_string_equal(found ? found->name : "(none)", scope);
  else
    assert_null(found);
  imgstore_reference_unref(reference);
}

static void test_scopes(void **state) {
  static const char *const scopes[] = {"docker.io",
                                       "docker.io/library/alpine",
                                       "docker.io/library/alpine:3",
                                       ("docker.io/library/alpine@" SIGNED_DIGEST),
                                       "*.example.com",
                                       "*.b.example.com:5000",
                                       "[::1]:5000/a"};
  imgstore_policy *policy = new_policy();
  check_scope(policy, "alpine", NULL);
  for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
    assert_int_equal(imgstore_policy_add_rule(policy, scopes[i], NULL, NULL, NULL), IMGSTORE_OK);
  check_scope(policy, "quay.io/a", NULL);
  assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, NULL, NULL), IMGSTORE_OK);
  check_scope(policy, "alpine", "docker.io/library/alpine");
  check_scope(policy, "alpine:3", "docker.io/library/alpine:3");
  check_scope(policy, "alpine:3@" INDEX_DIGEST, "docker.io/library/alpine:3");
  check_scope(policy, "alpine:3@" SIGNED_DIGEST, "docker.io/library/alpine@" SIGNED_DIGEST);
  check_scope(policy, "alpine/more", "docker.io");
  check_scope(policy, "library/alpines", "docker.io");
  check_scope(policy, "example.com/a", "");
  check_scope(policy, "a.example.com/b", "*.example.com");
  check_scope(policy, "a.b.example.com/b", "*.example.com");
  check_scope(policy, "a.b.example.com:5000/b", "*.b.example.com:5000");
  check_scope(policy, "c.example.com:5000/b", "*.example.com");
  check_scope(policy, "A.B.Example.COM:5000/b", "*.b.example.com:5000");
  check_scope(policy, "DOCKER.io/library/alpine:3", "docker.io/library/alpine:3");
  check_scope(policy, "[::1]:5000/a/b/c:d", "[::1]:5000/a");
  check_scope(policy, "quay.io/a", "");
  imgstore_policy_free(policy);
}

static void test_host_names_have_no_case(void **state) {
  imgstore_policy *policy = new_policy();
  assert_int_equal(imgstore_policy_add_rule(policy, "Registry.Test/team", NULL, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_policy_add_rule(policy, "registry.test/team", NULL, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(policy->count, 1);
  check_scope(policy, "REGISTRY.test/team/app", "Registry.Test/team");
  check_scope(policy, "registry.test:443/team/app", NULL); /* the port is a part of the name */
  imgstore_policy_free(policy);
}

static void check_remap(const char *name, const char *claimed, bool matches) {
  ims_requirement r = {.identity = IMS_IDENTITY_REMAP};
  char prefix[] = "a.test/team", signed_prefix[] = "b.test/x";
  ims_claim claim = {0};
  imgstore_reference *reference = reference_of(name);
  r.identity_name = prefix;
  r.identity_signed_prefix = signed_prefix;
  snprintf(claim.identity, sizeof claim.identity, "%s", claimed);
  assert_int_equal(ims_identity_matches(&r, reference, &claim, &ims_alloc_default), matches);
  imgstore_reference_unref(reference);
}

static void test_remapping(void **state) {
  check_remap("a.test/team/app:1", "b.test/x/app:1", true);
  check_remap("A.test/team/app:1", "b.test/x/app:1", true);
  check_remap("a.test/team:1", "b.test/x:1", true);
  check_remap("a.test/team/app:1", "a.test/team/app:1", false);
  check_remap("a.test/teams/app:1", "b.test/xs/app:1", false);
  check_remap("a.test/teams/app:1", "a.test/teams/app:1", true);
  check_remap("a.test:5000/team/app:1", "a.test:5000/team/app:1", true);
}

static void test_wrong_scopes_and_rules(void **state) {
  static const char *const wrong[] = {"/", "a b", "*.", "*.example.com/a", "host.example/", "HOST:PORT:1", "*"};
  imgstore_policy *policy = new_policy();
  imgstore_policy_rule rule;
  size_t number = 7;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(imgstore_policy_add_rule(policy, wrong[i], NULL, NULL, NULL), IMGSTORE_EFORMAT);
  imgstore_policy_rule_init(&rule, sizeof rule);
  rule.require = 9;
  assert_int_equal(imgstore_policy_add_rule(policy, "", &rule, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_policy_rule_init(&rule, sizeof rule);
  rule.identity = -1;
  assert_int_equal(imgstore_policy_add_rule(policy, "", &rule, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_policy_rule_init(&rule, sizeof rule);
  rule.signatures = 33;
  assert_int_equal(imgstore_policy_add_rule(policy, "", &rule, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_policy_rule_init(&rule, sizeof rule);
  rule.flags = 2;
  assert_int_equal(imgstore_policy_add_rule(policy, "", &rule, NULL, NULL), IMGSTORE_EUNSUPPORTED);
  assert_int_equal(imgstore_policy_add_key(policy, 0, key_p256, strlen(key_p256), NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, &number, NULL), IMGSTORE_OK);
  assert_int_equal(number, 0);
  assert_int_equal(imgstore_policy_add_key(policy, 0, key_p256, strlen(key_p256), NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_policy_add_key(policy, 0, key_p256, strlen(key_p256), NULL, NULL), IMGSTORE_OK);
  assert_int_equal(policy->rules[0].requirement->key_count, 1); /* the same key */
  assert_int_equal(imgstore_policy_add_key_file(policy, 0, "/nonexistent/key", NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(imgstore_policy_add_rule(NULL, "", NULL, NULL, NULL), IMGSTORE_EINVALID);
  ims_policy_ref(policy); /* as an operation does */
  assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, NULL, NULL), IMGSTORE_EBUSY);
  ims_policy_unref(policy);
  imgstore_policy_free(policy);
  imgstore_policy_free(NULL);
}

/* --- trials ---------------------------------------------------------------------------------------------------------
 */

static const ims_evidence by_p256 = {IMS_EVIDENCE_SIMPLE, payload, sizeof payload - 1, signature_p256_sha256, false};
static const ims_evidence by_p384 = {IMS_EVIDENCE_SIMPLE, payload, sizeof payload - 1, signature_p384_sha384, false};
static const ims_evidence by_other = {IMS_EVIDENCE_SIMPLE, payload, sizeof payload - 1, signature_other_sha256, false};

static int32_t try_image(imgstore_policy *policy, const char *name, const ims_evidence *const *all, size_t count,
                         char *words, size_t capacity) {
  imgstore_reference *reference = reference_of(name);
  ims_digest subject = digest_of(SIGNED_DIGEST);
  ims_trial trial;
  ims_error err = IMS_ERROR_INIT;
  ims_trial_init(&trial, policy, reference, &subject, 1);
  for (size_t i = 0; i < count && ims_trial_wants(&trial); i++) {
    ims_proof proof;
    const ims_key *key;
    assert_int_equal(ims_trial_add(&trial, all[i], &proof, &key, &err), IMGSTORE_OK);
  }
  int32_t rc = ims_trial_end(&trial, &err);
  snprintf(words, capacity, "%s", rc ? err.message : trial.warning);
  imgstore_reference_unref(reference);
  return rc;
}

static size_t add_rule(imgstore_policy *policy, uint32_t signatures, uint32_t flags, const char *const *keys) {
  imgstore_policy_rule rule;
  size_t number;
  imgstore_policy_rule_init(&rule, sizeof rule);
  rule.signatures = signatures;
  rule.flags = flags;
  assert_int_equal(imgstore_policy_add_rule(policy, "registry.test", &rule, &number, NULL), IMGSTORE_OK);
  for (; *keys; keys++)
    assert_int_equal(imgstore_policy_add_key(policy, number, *keys, strlen(*keys), "a key", NULL), IMGSTORE_OK);
  return number;
}

static void test_trials(void **state) {
  static const char *const both[] = {key_p256, key_p384, NULL}, *const first[] = {key_p256, NULL},
                           *const none[] = {NULL};
  static const ims_evidence *const all[] = {&by_other, &by_p256, &by_p256, &by_p384};
  char words[2048];
  imgstore_policy *policy = new_policy();
  assert_int_equal(try_image(policy, "registry.test/app:1", NULL, 0, words, sizeof words), IMGSTORE_OK);
  add_rule(policy, 1, 0, first);
  assert_int_equal(try_image(policy, "registry.test/app:1", NULL, 0, words, sizeof words), IMGSTORE_EUNTRUSTED);
  assert_non_null(
      strstr(words, "registry.test/app:1: refused by the policy for \"registry.test\": no signature found"));
  assert_int_equal(try_image(policy, "registry.test/app:1", all, 1, words, sizeof words), IMGSTORE_EUNTRUSTED);
  assert_non_null(strstr(words, "1 signature found, none that counts by a key (ECDSA P-256"));
  assert_int_equal(try_image(policy, "registry.test/app:1", all, 2, words, sizeof words), IMGSTORE_OK);
  assert_int_equal(try_image(policy, "registry.test/else:1", all, 2, words, sizeof words), IMGSTORE_EUNTRUSTED);
  assert_non_null(strstr(words, "it is for \"registry.test/app\""));
  assert_int_equal(try_image(policy, "elsewhere.test/app:1", NULL, 0, words, sizeof words), IMGSTORE_OK);
  add_rule(policy, 2, 0, both); /* all rules of a scope must hold */
  assert_int_equal(try_image(policy, "registry.test/app:1", all, 3, words, sizeof words), IMGSTORE_EUNTRUSTED);
  assert_non_null(strstr(words, "signed by 1 of the 2 keys that are needed"));
  assert_int_equal(try_image(policy, "registry.test/app:1", all, 4, words, sizeof words), IMGSTORE_OK);
  add_rule(policy, 1, IMGSTORE_TRUST_WARN, none);
  assert_int_equal(try_image(policy, "registry.test/app:1", all, 4, words, sizeof words), IMGSTORE_OK);
  assert_non_null(strstr(words, "the rule has none"));
  imgstore_policy_free(policy);
}

/* --- files ----------------------------------------------------------------------------------------------------------
 */

static int32_t give_key(void *data, const char *path, ims_buf *out, ims_error *err) {
  if (strcmp(path, "a.pub") != 0)
    return ims_fail(err, IMGSTORE_ENOTFOUND, "%s: no such file", path);
  return ims_buf_puts(out, key_p256) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

#define KEY "{\"type\":\"sigstoreSigned\",\"keyPath\":\"a.pub\"}"
#define ACCEPT "{\"type\":\"insecureAcceptAnything\"}"

static const char *const whole_file =
    "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"registry.test\":[" KEY "," ACCEPT
    "],\"a.test/b\":[{\"type\":\"sigstoreSigned\",\"keyPaths\":[\"a.pub\",\"a.pub\"],\"signatures\":2,\"onFailure\":"
    "\"warn\",\"signedIdentity\":{\"type\":\"remapIdentity\",\"prefix\":\"a.test\",\"signedPrefix\":\"b.test\"}}],"
    "\"gpg.test\":[{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/x\"}]},"
    "\"docker-daemon\":{\"\":[" ACCEPT "]}}}";

static void test_file(void **state) {
  imgstore_policy *policy = new_policy();
  ims_error err = IMS_ERROR_INIT;
  if (ims_policy_read(policy, whole_file, strlen(whole_file), "policy.json", give_key, NULL, &err))
    fail_msg("%s", err.message);
  assert_int_equal(policy->count, 4);
  imgstore_reference *r = reference_of("registry.test/app");
  const ims_scope *scope = ims_policy_find(policy, r);
  assert_int_equal(scope->count, 2);
  assert_int_equal(scope->requirements[0]->require, IMGSTORE_TRUST_SIGNED);
  assert_int_equal(scope->requirements[0]->identity, IMGSTORE_IDENTITY_EXACT);
  assert_int_equal(scope->requirements[1]->require, IMGSTORE_TRUST_ACCEPT);
  imgstore_reference_unref(r);
  r = reference_of("a.test/b");
  scope = ims_policy_find(policy, r);
  assert_int_equal(scope->requirements[0]->key_count, 1);
  assert_int_equal(scope->requirements[0]->signatures, 2);
  assert_true(scope->requirements[0]->warn);
  assert_int_equal(scope->requirements[0]->identity, IMS_IDENTITY_REMAP);
  imgstore_reference_unref(r);
  r = reference_of("gpg.test/x");
  char words[2048];
  assert_int_equal(try_image(policy, "gpg.test/x", NULL, 0, words, sizeof words), IMGSTORE_EUNTRUSTED);
  assert_non_null(strstr(words, "unsupported: signedBy"));
  assert_int_equal(try_image(policy, "anything.test/x", NULL, 0, words, sizeof words), IMGSTORE_EUNTRUSTED);
  imgstore_reference_unref(r);
  imgstore_policy_free(policy);
}

/* Nothing that is cut off or changed by one byte is taken for something else that is accepted silently. */
static void test_cut_files(void **state) {
  for (size_t n = 0; n < strlen(whole_file); n++) {
    imgstore_policy *policy = new_policy();
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_policy_read(policy, whole_file, n, "policy.json", give_key, NULL, &err);
    assert_int_equal(rc, IMGSTORE_EFORMAT);
    assert_non_null(strstr(err.message, "policy.json"));
    imgstore_policy_free(policy);
  }
}

static void test_too_much(void **state) {
  imgstore_policy *policy = new_policy();
  for (int i = 0; i < IMS_POLICY_REQUIREMENTS_MAX; i++)
    assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, NULL, NULL), IMGSTORE_ELIMIT);
  char name[64];
  for (int i = 1; i < IMS_POLICY_SCOPES_MAX; i++) {
    snprintf(name, sizeof name, "h%d.test", i);
    assert_int_equal(imgstore_policy_add_rule(policy, name, NULL, NULL, NULL), IMGSTORE_OK);
  }
  assert_int_equal(imgstore_policy_add_rule(policy, "last.test", NULL, NULL, NULL), IMGSTORE_ELIMIT);
  imgstore_policy_free(policy);
}

/* --- kinds ----------------------------------------------------------------------------------------------------------
 */

static void test_kinds(void **state) {
  static const struct {
    const char *predicate, *media, *artifact;
    int32_t kind;
  } cases[] = {
      {NULL, "application/vnd.dev.cosign.simplesigning.v1+json", NULL, IMGSTORE_ATTACHED_SIGNATURE},
      {"https://sigstore.dev/cosign/sign/v1", "application/vnd.dev.sigstore.bundle.v0.3+json", NULL,
       IMGSTORE_ATTACHED_SIGNATURE},
      {"https://spdx.dev/Document", "application/vnd.dev.sigstore.bundle.v0.3+json", NULL, IMGSTORE_ATTACHED_SBOM_SPDX},
      {"https://cyclonedx.org/bom", "application/vnd.in-toto+json", NULL, IMGSTORE_ATTACHED_SBOM_CYCLONEDX},
      {"https://slsa.dev/provenance/v0.2", "application/vnd.in-toto+json", NULL, IMGSTORE_ATTACHED_PROVENANCE},
      {"https://cosign.sigstore.dev/attestation/vuln/v1", NULL, NULL, IMGSTORE_ATTACHED_VULNERABILITY},
      {"https://openvex.dev/ns/v0.2.0", NULL, NULL, IMGSTORE_ATTACHED_VULNERABILITY},
      {"https://example.org/custom", "application/spdx+json", NULL, IMGSTORE_ATTACHED_OTHER},
      {NULL, "application/octet-stream", "application/SPDX+json", IMGSTORE_ATTACHED_SBOM_SPDX},
      {NULL, NULL, NULL, IMGSTORE_ATTACHED_OTHER},
      {NULL, "", "", IMGSTORE_ATTACHED_OTHER},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(ims_attached_kind(cases[i].predicate, cases[i].media, cases[i].artifact), cases[i].kind);
}

/* --- system calls that fail -----------------------------------------------------------------------------------------
 */

static int calls_left, open_files; /* of the table below */

static bool may_call(void) {
  errno = EIO;
  return calls_left-- > 0;
}

static int failing_openat(int dir, const char *path, int flags, mode_t mode) {
  int fd = may_call() ? ims_sys_default.openat(dir, path, flags, mode) : -1;
  open_files += fd >= 0;
  return fd;
}

static int failing_fstat(int fd, struct stat *st) {
  return may_call() ? ims_sys_default.fstat(fd, st) : -1;
}

static ssize_t failing_read(int fd, void *buffer, size_t size) {
  return may_call() ? ims_sys_default.read(fd, buffer, size) : -1;
}

static ssize_t failing_pread(int fd, void *buffer, size_t size, off_t offset) {
  return may_call() ? ims_sys_default.pread(fd, buffer, size, offset) : -1;
}

static int counting_close(int fd) {
  open_files--;
  return ims_sys_default.close(fd);
}

static void write_file(const char *folder, const char *name, const char *text) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int32_t load_and_attach(imgstore_context *context, const char *folder) {
  char path[300];
  imgstore_policy *policy = NULL;
  imgstore_attachment *attachment = NULL;
  snprintf(path, sizeof path, "%s/policy.json", folder);
  int32_t rc = imgstore_policy_load(context, path, &policy, NULL);
  assert_true(!rc == !!policy);
  if (!rc)
    rc = imgstore_attachment_new(context, "a/b", &attachment, NULL);
  if (!rc)
    rc = imgstore_attachment_add_file(attachment, path, NULL, NULL, NULL);
  imgstore_attachment_free(attachment);
  imgstore_policy_free(policy);
  return rc;
}

static void test_failing_calls(void **state) {
  ims_sys table = ims_sys_default;
  char folder[] = "/tmp/imgstore-policy-XXXXXX", path[300];
  assert_non_null(mkdtemp(folder));
  write_file(folder, "policy.json", "{\"default\":[{\"type\":\"sigstoreSigned\",\"keyPath\":\"a.pub\"}]}");
  write_file(folder, "a.pub", key_p256);
  table.openat = failing_openat;
  table.fstat = failing_fstat;
  table.read = failing_read;
  table.pread = failing_pread;
  table.close = counting_close;
  imgstore_context *context = context_on(NULL);
  context->sys = &table;
  int32_t rc = IMGSTORE_EIO;
  for (int n = 0; rc; n++) {
    calls_left = n;
    open_files = 0;
    rc = load_and_attach(context, folder);
    assert_true(rc == IMGSTORE_OK || rc == IMGSTORE_EIO);
    assert_int_equal(open_files, 0);
    assert_true(n < 100);
  }
  imgstore_context_free(context);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, i ? "a.pub" : "policy.json");
    unlink(path);
  }
  rmdir(folder);
}

/* --- no memory ------------------------------------------------------------------------------------------------------
 */

static int32_t read_and_try(imgstore_context *context) {
  imgstore_policy *policy = NULL;
  imgstore_reference *reference = NULL;
  ims_digest subject = digest_of(SIGNED_DIGEST);
  ims_error err = IMS_ERROR_INIT;
  ims_trial trial;
  int32_t rc = ims_policy_new(&policy, context, &err);
  if (!rc)
    rc = ims_policy_read(policy, whole_file, strlen(whole_file), "policy.json", give_key, NULL, &err);
  if (!rc)
    rc = ims_reference_parse(&reference, &context->alloc, "registry.test/app@" SIGNED_DIGEST, &err);
  if (!rc) {
    ims_proof proof;
    const ims_key *key;
    ims_trial_init(&trial, policy, reference, &subject, 1);
    rc = ims_trial_add(&trial, &by_p256, &proof, &key, &err);
  }
  if (!rc)
    rc = ims_trial_end(&trial, &err);
  imgstore_reference_unref(reference);
  ims_policy_unref(policy);
  return rc;
}

static void test_no_memory(void **state) {
  failing f;
  for (size_t n = 0;; n++) {
    ims_alloc a = failing_alloc(&f, SIZE_MAX);
    const imgstore_allocator allocator = {sizeof allocator, a.user_data, a.allocate, a.reallocate, a.release};
    imgstore_context *context = context_on(&allocator);
    assert_non_null(context);
    f.left = n;
    int32_t rc = read_and_try(context);
    bool failed = f.failed;
    imgstore_context_free(context);
    assert_int_equal(f.live, 0);
    /* a name that could not be compared for want of memory does not match: refused, never accepted */
    assert_true(failed ? rc == IMGSTORE_ENOMEM || rc == IMGSTORE_EUNTRUSTED : rc == IMGSTORE_OK);
    if (!failed)
      return;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_host_names_have_no_case),
      cmocka_unit_test(test_remapping),
      cmocka_unit_test(test_scopes),
      cmocka_unit_test(test_wrong_scopes_and_rules),
      cmocka_unit_test(test_trials),
      cmocka_unit_test(test_file),
      cmocka_unit_test(test_cut_files),
      cmocka_unit_test(test_too_much),
      cmocka_unit_test(test_kinds),
      cmocka_unit_test(test_failing_calls),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
