/*
 * tests/fuzz/fuzz_call.c - a registry that answers anything: statuses, headers and bodies drive the call state machine,
 * which must end, stay on permitted origins and keep credentials at home.
 *
 * Input: lines. "200" or "N" with N a number is an answer's status; the lines up to the next number are its headers.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "base/text.h"
#include "registry/call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 4000 };

static void check(const ims_call *call) {
  if (call->home.https && call->base.https && !call->at.https)
    abort(); /* never down from https */
  if (ims_call_may_authorize(call) && strncmp(call->at.text, "https://r.example/", 18) != 0)
    abort();
  if (call->redirects > call->limits.max_redirects)
    abort();
}

static void play(ims_call *call, char *text) {
  fuzz_answer answer;
  char range[64];
  uint64_t position = 0;
  for (int step = 0; fuzz_answer_take(&text, &answer, 200); step++) {
    ims_verdict verdict;
    ims_error err = IMS_ERROR_INIT;
    if (step > STEPS_MAX)
      return;
    ims_call_range(call, position, range, sizeof range);
    if (ims_call_head(call, &answer.reply) == IMS_HEAD_CONTENT) {
      if (call->skip > position)
        abort();
      position += position + 7 < call->size ? 7 : 0;
      ims_call_progress(call);
      ims_call_broken(call, IMGSTORE_ENETWORK, "cut", true, &verdict, &err);
    } else {
      ims_call_answer(call, &answer.reply, "<html>", 6, NULL, 1700000000, &verdict, &err);
    }
    check(call);
    if (verdict.next == IMS_NEXT_FAIL && !err.code)
      abort();
    if (verdict.next == IMS_NEXT_WAIT && verdict.delay_ms > call->limits.max_retry_delay)
      abort();
    if (verdict.next == IMS_NEXT_FAIL)
      return;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ims_alloc *a = &ims_alloc_default;
  const ims_call_limits limits = {10, 5, 500, 60000};
  ims_call call;
  ims_url url;
  char *text = ims_strndup(a, (const char *)data, size);
  if (!text)
    return 0;
  if (ims_url_parse(&url, a, "https://r.example/v2/a/blobs/x", "x", NULL) == IMGSTORE_OK) {
    ims_call_init(&call, a, "x", &limits, size);
    call.ranged = size % 2 == 0;
    call.size = 1000;
    if (ims_call_aim(&call, &url, &url, NULL) == IMGSTORE_OK)
      play(&call, text);
    ims_call_free(&call);
    ims_url_free(a, &url);
  }
  ims_free(a, text);
  return 0;
}
