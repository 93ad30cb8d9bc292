/*
 * registry/call.c (L2) - redirect, retry and range decisions.
 */
#include "registry/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void ims_call_init(ims_call *call, const ims_alloc *alloc, const char *what, const ims_call_limits *limits,
                   uint64_t seed) {
  memset(call, 0, sizeof *call);
  call->alloc = alloc;
  call->what = what;
  call->limits = *limits;
  call->backoff.seed = seed;
}

void ims_call_free(ims_call *call) {
  if (!call->alloc)
    return;
  ims_url_free(call->alloc, &call->home);
  ims_url_free(call->alloc, &call->base);
  ims_url_free(call->alloc, &call->at);
}

static int32_t replace(ims_call *call, ims_url *url, const ims_url *with, ims_error *err) {
  ims_url copy;
  int32_t rc = ims_url_copy(&copy, call->alloc, with, err);
  if (rc)
    return rc;
  ims_url_free(call->alloc, url);
  *url = copy;
  return IMGSTORE_OK;
}

int32_t ims_call_aim(ims_call *call, const ims_url *home, const ims_url *base, ims_error *err) {
  int32_t rc = replace(call, &call->home, home, err);
  if (!rc)
    rc = replace(call, &call->base, base, err);
  if (!rc)
    rc = replace(call, &call->at, base, err);
  call->redirects = 0;
  call->no_range = false;
  call->backoff.failures = 0;
  call->backoff.first_ms = call->limits.retry_delay;
  call->backoff.max_ms = call->limits.max_retry_delay;
  call->backoff.allowed = call->limits.retries;
  return rc;
}

int32_t ims_call_point(ims_call *call, const ims_url *base, ims_error *err) {
  int32_t rc = replace(call, &call->base, base, err);
  call->redirects = 0;
  return rc ? rc : replace(call, &call->at, base, err);
}

bool ims_call_may_authorize(const ims_call *call) {
  return ims_url_same_origin(&call->at, &call->base);
}

bool ims_call_range(ims_call *call, uint64_t position, char *out, size_t capacity) {
  call->asked_from = position;
  call->asked = call->ranged && position > 0 && position < call->size && !call->no_range;
  if (call->asked)
    snprintf(out, capacity, "bytes=%" PRIu64 "-%" PRIu64, position, call->size - 1);
  return call->asked;
}

void ims_call_progress(ims_call *call) {
  ims_backoff_progress(&call->backoff);
}

static bool is_redirect(int32_t status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* A part of the blob that starts where it was asked to and belongs to a blob of the right size. */
static bool range_fits(const ims_call *call, const ims_reply *reply) {
  uint64_t first, last, total;
  const char *value = ims_reply_field(reply, "Content-Range");
  return value && ims_content_range(value, &first, &last, &total) && total == call->size &&
         first == (call->asked ? call->asked_from : 0);
}

static bool is_success(const ims_call *call, int32_t status) {
  if (!call->expects[0])
    return status == 200 || status == 206;
  for (size_t i = 0; i < IMS_CALL_EXPECTS_MAX && call->expects[i]; i++)
    if (call->expects[i] == status)
      return true;
  return false;
}

int ims_call_head(ims_call *call, const ims_reply *reply) {
  call->skip = 0;
  if (!is_success(call, reply->status))
    return IMS_HEAD_COLLECT;
  if (!ims_reply_is_plain(reply))
    return IMS_HEAD_STOP;
  if (reply->status == 206 && !(call->ranged && range_fits(call, reply)))
    return IMS_HEAD_STOP;
  if (call->ranged && !(call->asked && reply->status == 206))
    call->skip = call->asked_from;
  return IMS_HEAD_CONTENT;
}

/* The next try starts at the registry again: what it redirects to may have expired. */
static bool go_home(ims_call *call, ims_error *err) {
  ims_error nomem = IMS_ERROR_INIT;
  call->redirects = 0;
  if (replace(call, &call->at, &call->base, &nomem) == IMGSTORE_OK)
    return true;
  *err = nomem;
  return false;
}

static void try_again(ims_call *call, ims_verdict *verdict, ims_error *err) {
  verdict->next =
      ims_backoff_next(&call->backoff, &verdict->delay_ms) && go_home(call, err) ? IMS_NEXT_WAIT : IMS_NEXT_FAIL;
}

void ims_call_try_now(ims_call *call, ims_verdict *verdict, ims_error *err) {
  bool first = call->backoff.failures == 0;
  try_again(call, verdict, err);
  if (first && verdict->next == IMS_NEXT_WAIT)
    verdict->next = IMS_NEXT_SEND;
}

static void follow(ims_call *call, const ims_reply *reply, ims_verdict *verdict, ims_error *err) {
  const char *location = ims_reply_field(reply, "Location");
  char what[IMS_ERROR_MESSAGE];
  ims_url target;
  snprintf(what, sizeof what, "%s: redirect", call->what);
  verdict->next = IMS_NEXT_FAIL;
  if (call->fixed)
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s of a request that carries a secret", what);
  else if (call->changes && reply->status == 303)
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s to another method (HTTP 303)", what);
  else if (!location)
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s without Location", what);
  else if (call->redirects >= call->limits.max_redirects)
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s: more than %" PRIu32, what, call->limits.max_redirects);
  else if (ims_url_join(&target, call->alloc, &call->at, location, what, err) == IMGSTORE_OK) {
    if (ims_url_permit(&call->home, &call->at, &target, what, err) != IMGSTORE_OK) {
      ims_url_free(call->alloc, &target);
      return;
    }
    ims_url_free(call->alloc, &call->at);
    call->at = target;
    call->redirects++;
    verdict->next = IMS_NEXT_SEND;
  }
  if (err && err->code)
    err->http_status = reply->status;
}

/* A success that is not what was asked for. */
static void misfit(ims_call *call, const ims_reply *reply, ims_verdict *verdict, ims_error *err) {
  verdict->next = IMS_NEXT_FAIL;
  if (!ims_reply_is_plain(reply)) {
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s: the body has a Content-Encoding", call->what);
  } else if (reply->status == 206) {
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s: HTTP 206 with a wrong Content-Range", call->what);
    if (call->asked) {
      call->no_range = true;
      ims_call_try_now(call, verdict, err);
    }
  } else {
    ims_fail(err, IMGSTORE_EPROTOCOL, "%s: unexpected HTTP status %d", call->what, (int)reply->status);
  }
  if (err)
    err->http_status = reply->status;
}

void ims_call_host(const ims_call *call, char *out, size_t capacity) {
  ims_sanitize(out, capacity, call->at.text + call->at.host_at, call->at.origin_size - call->at.host_at);
}

bool ims_call_redirect(ims_call *call, const ims_reply *reply, ims_verdict *verdict, ims_error *err) {
  if (!is_redirect(reply->status))
    return false;
  follow(call, reply, verdict, err);
  return true;
}

void ims_call_pass(ims_call *call, const ims_reply *reply, int64_t wall_s, ims_verdict *verdict, ims_error *err) {
  const char *after = ims_reply_field(reply, "Retry-After");
  uint32_t asked_ms;
  try_again(call, verdict, err);
  verdict->hold_host = verdict->next == IMS_NEXT_WAIT && ims_status_holds_host(reply->status);
  if (verdict->next == IMS_NEXT_WAIT && after &&
      ims_retry_after(after, wall_s, call->limits.max_retry_delay, &asked_ms))
    verdict->delay_ms = asked_ms;
}

void ims_call_answer(ims_call *call, const ims_reply *reply, const char *body, size_t size, const ims_secrets *secrets,
                     int64_t wall_s, ims_verdict *verdict, ims_error *err) {
  char host[300];
  int32_t status = reply->status;
  bool away = !ims_call_may_authorize(call);
  *verdict = (ims_verdict){IMS_NEXT_FAIL, 0, false};
  if (ims_call_redirect(call, reply, verdict, err))
    return;
  if (status < 400 || status > 599) {
    misfit(call, reply, verdict, err);
    return;
  }
  ims_call_host(call, host, sizeof host);
  ims_answer_error(call->alloc, status, body, size, call->what, host, secrets, err);
  if (away && (status == 400 || status == 401 || status == 403)) {
    ims_call_try_now(call, verdict, err); /* a presigned URL that expired */
  } else if (status == 401) {
    verdict->next = IMS_NEXT_AUTHORIZE;
  } else if (status == 416 && call->asked) {
    call->no_range = true;
    ims_call_try_now(call, verdict, err);
  } else if (ims_status_is_passing(status) && (!call->once || status == 429)) {
    ims_call_pass(call, reply, wall_s, verdict, err);
  }
}

void ims_call_broken(ims_call *call, int32_t code, const char *message, bool retry, ims_verdict *verdict,
                     ims_error *err) {
  char host[300];
  *verdict = (ims_verdict){IMS_NEXT_FAIL, 0, false};
  ims_call_host(call, host, sizeof host);
  if (ims_starts_with(message, host)) /* a transport may name it too */
    ims_fail(err, code, "%s: %s", call->what, message);
  else
    ims_fail(err, code, "%s: %s: %s", call->what, host, message);
  if (retry && !call->once)
    try_again(call, verdict, err);
}
