/*
 * tests/fuzz/fuzz_upload.c - a registry that answers anything to an upload: statuses, headers and cuts drive the upload
 * state machine, which must end, ask for parts of the blob only, stay on permitted origins, and be done only for a
 * reason.
 *
 * Input: lines. "N" with N a number is an answer's status, 0 a cut; the lines up to the next number are its headers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "base/text.h"
#include "registry/upload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 4000 };

static const char *const mounts[] = {"b/c", "d/e"};

static void check(const ims_upload *u, const ims_upload_ask *ask) {
  const ims_call *call = u->call;
  if (call->home.https && !call->at.https)
    abort(); /* never down from https */
  if (ask->from + ask->size > u->plan.size || ask->from != (ask->size ? u->offset : ask->from))
    abort();
  if (u->offset > u->plan.size || u->end > u->plan.size)
    abort();
  if (ask->size && strcmp(ask->method, "PUT") != 0 && strcmp(ask->method, "PATCH") != 0)
    abort();
}

/* Being done has a reason: the last answer said so. */
static void check_done(const ims_upload *u, int32_t status) {
  if (u->outcome == IMS_UPLOAD_ABSENT ? !u->plan.look || (status != 404 && status != 410 && status != 200)
                                      : status != 200 && status != 201 && status != 204)
    abort();
}

static void play(ims_upload *u, char *text) {
  fuzz_answer answer;
  for (int step = 0; fuzz_answer_take(&text, &answer, 202) && step < STEPS_MAX; step++) {
    ims_upload_ask ask;
    ims_verdict verdict;
    ims_error err = IMS_ERROR_INIT;
    if (ims_upload_next(u, &ask, &err) != IMGSTORE_OK)
      return;
    check(u, &ask);
    if (answer.reply.status >= 100) {
      ims_upload_answer(u, &answer.reply, "<html>", 6, NULL, 1700000000, &verdict, &err);
    } else {
      ims_call_broken(u->call, IMGSTORE_ENETWORK, "cut", true, &verdict, &err);
      ims_upload_broken(u);
    }
    if (verdict.next == IMS_NEXT_DONE)
      check_done(u, answer.reply.status);
    if (verdict.next == IMS_NEXT_FAIL && !err.code)
      abort();
    if (verdict.next == IMS_NEXT_WAIT && verdict.delay_ms > u->call->limits.max_retry_delay)
      abort();
    if (verdict.next == IMS_NEXT_DONE || verdict.next == IMS_NEXT_FAIL)
      return;
    if (verdict.next == IMS_NEXT_AUTHORIZE && step % 2 && !ims_upload_unauthorized(u))
      return;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ims_alloc *a = &ims_alloc_default;
  const ims_call_limits limits = {10, 5, 500, 60000};
  ims_call call;
  ims_url url;
  ims_upload upload;
  if (size < 1)
    return 0;
  ims_upload_plan plan = {
      .size = data[0] & 1 ? 200000 : 0, .mounts = mounts, .mount_count = (data[0] >> 1) & 1 ? 2 : 0};
  plan.chunk = data[0] & 4 ? 70000 : 0;
  plan.absent = data[0] & 8;
  plan.look = (data[0] & 48) == 48;
  ims_digest_of(&plan.digest, IMS_HASH_SHA256, "x", 1);
  char *text = ims_strndup(a, (const char *)data + 1, size - 1);
  if (!text)
    return 0;
  if (ims_url_parse(&url, a, "https://r.example/v2/a/blobs/uploads/", "x", NULL) == IMGSTORE_OK) {
    ims_call_init(&call, a, "x", &limits, size);
    ims_upload_init(&upload, &call, &plan);
    if (ims_call_aim(&call, &url, &url, NULL) == IMGSTORE_OK)
      play(&upload, text);
    ims_upload_free(&upload);
    ims_call_free(&call);
    ims_url_free(a, &url);
  }
  ims_free(a, text);
  return 0;
}
