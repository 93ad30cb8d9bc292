/*
 * engine/credential_helper.c (L4) - asks docker-credential-* programs. Owns what goes in and what comes out of them;
 * which one is asked is somebody else's choice. Neither a secret nor a helper's JSON gets into a message.
 */
#include "engine/credential_helper.h"

#include <string.h>

#include "base/text.h"
#include "engine/process.h"
#include "json/json.h"

enum { OUTPUT_MAX = 1024 * 1024, INPUT_MAX = 1024 * 1024, TIMEOUT_MS = 30000, PROGRAM_MAX = 128, QUOTE_MAX = 200 };

static const char not_found_text[] = "credentials not found in native keychain";
static const char token_user[] = "<token>";

typedef struct answer {
  ims_buf output;
  int status;
  char program[PROGRAM_MAX];
} answer;

static int32_t ask(ims_core *core, answer *a, const char *name, const char *verb, const char *input,
                   const atomic_bool *cancelled, ims_error *err) {
  ims_buf program;
  ims_buf_init(&a->output, &core->alloc, OUTPUT_MAX);
  ims_buf_init(&program, &core->alloc, PROGRAM_MAX - 1);
  ims_buf_printf(&program, "docker-credential-%s", name);
  int32_t code = program.failed;
  if (code == IMGSTORE_OK)
    memcpy(a->program, program.data, program.size + 1);
  ims_buf_free(&program);
  if (code != IMGSTORE_OK)
    return code == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
                                   : ims_fail(err, IMGSTORE_EFORMAT, "the name of the credential helper is too long");
  const char *const arguments[] = {a->program, verb, NULL};
  const ims_process process = {
      .arguments = arguments, .input = input, .timeout_ms = TIMEOUT_MS, .cancelled = cancelled};
  return ims_process_run(&process, &a->output, &a->status, err);
}

static void trim(ims_buf *output) {
  while (output->size && strchr(" \t\r\n", output->data[output->size - 1]))
    output->data[--output->size] = '\0';
}

static bool says_not_found(answer *a) {
  trim(&a->output);
  return a->status != 0 && strcmp(ims_buf_text(&a->output), not_found_text) == 0;
}

/* What a failed helper says is quoted unless it looks like more than a sentence. */
static int32_t helper_failed(answer *a, const char *verb, ims_error *err) {
  const char *text = ims_buf_text(&a->output);
  if (!*text || strpbrk(text, "{}\"") || strlen(text) > QUOTE_MAX)
    return ims_fail(err, IMGSTORE_EIO, "%s: %s failed with exit status %d", a->program, verb, a->status);
  return ims_fail(err, IMGSTORE_EIO, "%s: %s failed: %s", a->program, verb, text);
}

static int32_t take(ims_core *core, const char *username, const char *secret, ims_credential *credential,
                    ims_error *err) {
  bool token = strcmp(username, token_user) == 0;
  char *copy = ims_strdup(&core->alloc, secret);
  if (!copy)
    return ims_fail_nomem(err);
  if (token) {
    credential->identity_token = copy;
    return IMGSTORE_OK;
  }
  credential->password = copy;
  credential->username = ims_strdup(&core->alloc, username);
  return credential->username ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t read_answer(ims_core *core, const answer *a, ims_credential *credential, ims_error *err) {
  ims_json *json;
  int32_t code = ims_json_parse(&json, &core->alloc, ims_buf_text(&a->output), a->output.size, a->program, NULL);
  if (code == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  if (code != IMGSTORE_OK)
    return ims_fail(err, IMGSTORE_EIO, "%s: its answer is not JSON", a->program);
  const char *username = ims_json_string(ims_json_get(ims_json_root(json), "Username"));
  const char *secret = ims_json_string(ims_json_get(ims_json_root(json), "Secret"));
  if (!username || !secret)
    code = ims_fail(err, IMGSTORE_EIO, "%s: its answer has no Username and Secret", a->program);
  else if (*username || *secret)
    code = take(core, username, secret, credential, err);
  ims_json_free(json);
  return code;
}

int32_t ims_credential_helper_get(ims_core *core, const char *name, const char *key, const atomic_bool *cancelled,
                                  ims_credential *credential, ims_error *err) {
  answer a;
  memset(credential, 0, sizeof *credential);
  int32_t code = ask(core, &a, name, "get", key, cancelled, err);
  if (code == IMGSTORE_OK && says_not_found(&a)) {
    ims_buf_free(&a.output);
    return IMGSTORE_OK;
  }
  if (code == IMGSTORE_OK && a.status > 0)
    code = helper_failed(&a, "get", err);
  if (code == IMGSTORE_OK)
    code = read_answer(core, &a, credential, err);
  if (code != IMGSTORE_OK)
    ims_credential_free(core, credential);
  ims_buf_free_secret(&a.output);
  return code;
}

int32_t ims_credential_helper_store(ims_core *core, const char *name, const char *key, const ims_credential *credential,
                                    ims_error *err) {
  answer a;
  ims_buf input;
  const char *token = credential->identity_token;
  const char *username = token ? token_user : credential->username, *secret = token ? token : credential->password;
  if (!username || !secret)
    return ims_fail(err, IMGSTORE_EINVALID, "credentials: a user name and a password are needed");
  ims_buf_init(&input, &core->alloc, INPUT_MAX);
  ims_buf_puts(&input, "{\"ServerURL\":");
  ims_json_put_string(&input, key, strlen(key));
  ims_buf_puts(&input, ",\"Username\":");
  ims_json_put_string(&input, username, strlen(username));
  ims_buf_puts(&input, ",\"Secret\":");
  ims_json_put_string(&input, secret, strlen(secret));
  ims_buf_puts(&input, "}");
  if (input.failed) {
    int32_t failed = input.failed;
    ims_buf_free_secret(&input);
    return failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
                                     : ims_fail(err, failed, "credentials: over %d bytes", INPUT_MAX);
  }
  int32_t code = ask(core, &a, name, "store", ims_buf_text(&input), NULL, err);
  trim(&a.output);
  if (code == IMGSTORE_OK && a.status != 0 && (a.status > 0 || a.output.size))
    code = helper_failed(&a, "store", err);
  ims_buf_free_secret(&input);
  ims_buf_free_secret(&a.output);
  return code;
}

int32_t ims_credential_helper_erase(ims_core *core, const char *name, const char *key, bool *found, ims_error *err) {
  answer a;
  int32_t code = ask(core, &a, name, "erase", key, NULL, err);
  *found = code == IMGSTORE_OK && !says_not_found(&a);
  if (*found && a.status != 0 && (a.status > 0 || a.output.size))
    code = helper_failed(&a, "erase", err);
  ims_buf_free_secret(&a.output);
  return code;
}
