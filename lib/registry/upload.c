/*
 * registry/upload.c (L2) - what to send next of a blob, and what each answer means.
 *
 *   HEAD -> [MOUNT ...] -> POST -> PUT with the whole blob
 *                             \--> PATCH ... -> PUT without a body
 *
 * A PUT or PATCH whose end is not known leads to STATUS, which tells how much the registry has; a session that is gone
 * leads to HEAD, since it may be gone because the blob is complete.
 */
#include "registry/upload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

enum { STEP_HEAD, STEP_MOUNT, STEP_POST, STEP_PUT, STEP_PATCH, STEP_STATUS };

enum {
  FIRST_CHUNK = 8 << 20,    /* after a 413 */
  SMALLEST_CHUNK = 1 << 16, /* what takes less takes nothing */
  PROGRESS_LEAST = 1024     /* fewer confirmed bytes do not forgive failures */
};

/* A response and what is to be made of it. */
typedef struct answer {
  const ims_reply *reply;
  const char *body;
  size_t size;
  const ims_secrets *secrets;
  int64_t wall_s;
  ims_verdict *verdict;
  ims_error *err;
} answer;

static int first_step(const ims_upload *u) {
  if (!u->plan.absent || u->plan.look)
    return STEP_HEAD;
  return u->plan.mount_count ? STEP_MOUNT : STEP_POST;
}

void ims_upload_init(ims_upload *u, ims_call *call, const ims_upload_plan *plan) {
  memset(u, 0, sizeof *u);
  u->call = call;
  u->plan = *plan;
  u->chunk = plan->chunk && plan->chunk < plan->size ? plan->chunk : 0;
  u->step = first_step(u);
}

void ims_upload_free(ims_upload *u) {
  if (u->call)
    ims_url_free(u->call->alloc, &u->session);
}

/* --- requests -------------------------------------------------------------------------------------------------------
 */

static int32_t point_at(ims_upload *u, const ims_url *base, const char *reference, ims_error *err) {
  ims_url url;
  int32_t rc = ims_url_join(&url, u->call->alloc, base, reference, u->call->what, err);
  if (rc)
    return rc;
  rc = ims_call_point(u->call, &url, err);
  ims_url_free(u->call->alloc, &url);
  return rc;
}

/* The session's URL with the digest after whatever query it has. */
static int32_t point_at_end(ims_upload *u, ims_error *err) {
  const ims_alloc *a = u->call->alloc;
  const ims_url *s = &u->session;
  const char *query = s->text + s->origin_size + s->path_size;
  ims_buf text;
  ims_buf_init(&text, a, 2 * (size_t)IMS_URL_MAX);
  ims_buf_printf(&text, "%s%sdigest=%s:%s", s->text,
                 !*query                                        ? "?"
                 : query[strlen(query) - 1] == '&' || !query[1] ? ""
                                                                : "&",
                 ims_digest_algorithm_name(u->plan.digest.algorithm), ims_digest_hex(&u->plan.digest));
  int32_t rc = text.failed ? ims_fail_nomem(err) : point_at(u, s, ims_buf_text(&text), err);
  ims_buf_free_secret(&text);
  return rc;
}

static int32_t point(ims_upload *u, ims_error *err) {
  char query[600];
  switch (u->step) {
  case STEP_HEAD:
    snprintf(query, sizeof query, "../%s", u->plan.digest.text);
    return point_at(u, &u->call->home, query, err);
  case STEP_MOUNT:
    snprintf(query, sizeof query, "?mount=%s&from=%s", u->plan.digest.text, u->plan.mounts[u->mount]);
    return point_at(u, &u->call->home, query, err);
  case STEP_POST:
    return ims_call_point(u->call, &u->call->home, err);
  case STEP_PUT:
    return point_at_end(u, err);
  default:
    return ims_call_point(u->call, &u->session, err);
  }
}

int32_t ims_upload_next(ims_upload *u, ims_upload_ask *ask, ims_error *err) {
  static const char *const methods[] = {"HEAD", "POST", "POST", "PUT", "PATCH", "GET"};
  int32_t rc = u->follow ? IMGSTORE_OK : point(u, err);
  u->follow = false;
  if (rc)
    return rc;
  memset(ask, 0, sizeof *ask);
  ask->method = methods[u->step];
  ask->source = u->step == STEP_MOUNT ? u->plan.mounts[u->mount] : NULL;
  if (u->step != STEP_PUT && u->step != STEP_PATCH)
    return IMGSTORE_OK;
  uint64_t left = u->plan.size - u->offset;
  ask->from = u->offset;
  ask->size = u->step == STEP_PATCH && u->chunk && u->chunk < left ? u->chunk : left;
  u->end = ask->from + ask->size;
  if (u->step == STEP_PATCH)
    snprintf(ask->range, sizeof ask->range, "%" PRIu64 "-%" PRIu64, ask->from, u->end - 1);
  return IMGSTORE_OK;
}

/* --- where an answer leads ------------------------------------------------------------------------------------------
 */

static void go(ims_upload *u, int step, const answer *a) {
  u->step = step;
  a->verdict->next = IMS_NEXT_SEND;
}

static void done(ims_upload *u, int outcome, const answer *a) {
  u->outcome = outcome;
  a->verdict->next = IMS_NEXT_DONE;
}

/* The registry's own words become the error. */
static void say(const ims_upload *u, const answer *a) {
  char host[300];
  ims_call_host(u->call, host, sizeof host);
  ims_answer_error(u->call->alloc, a->reply->status, a->body, a->size, u->call->what, host, a->secrets, a->err);
}

/* A try without progress that goes on with step: at once the first time, later after a while, in the end not at all. */
static void again(ims_upload *u, int step, const answer *a) {
  u->step = step;
  ims_call_try_now(u->call, a->verdict, a->err);
}

/* Everything from the start: the session is of no use any more. */
static void restart(ims_upload *u, const answer *a) {
  ims_url_free(u->call->alloc, &u->session);
  u->offset = 0;
  u->resumed = false;
  again(u, u->lost ? STEP_HEAD : STEP_POST, a);
}

static void confirm(ims_upload *u, uint64_t offset) {
  u->offset = offset;
  if (offset <= u->best)
    return;
  if (offset - u->best >= PROGRESS_LEAST || offset == u->plan.size) {
    u->best = offset;
    ims_call_progress(u->call);
  }
}

/* How the bytes that are missing go on their way. */
static int transfer_step(const ims_upload *u) {
  bool whole = !u->offset && !u->chunk;
  return whole || u->offset == u->plan.size ? STEP_PUT : STEP_PATCH;
}

/* Takes the Location of an answer, which is optional once there is a session. */
static int32_t take_location(ims_upload *u, const answer *a) {
  const char *location = ims_reply_field(a->reply, "Location");
  char what[IMS_ERROR_MESSAGE];
  ims_url url;
  snprintf(what, sizeof what, "%s: upload location", u->call->what);
  if (!location && u->session.text)
    return IMGSTORE_OK;
  if (!location)
    return ims_fail(a->err, IMGSTORE_EPROTOCOL, "%s is missing", what);
  int32_t rc = ims_url_join(&url, u->call->alloc, &u->call->at, location, what, a->err);
  if (rc)
    return rc;
  rc = ims_url_permit(&u->call->home, &u->call->at, &url, what, a->err);
  if (rc) {
    ims_url_free(u->call->alloc, &url);
    return rc;
  }
  ims_url_free(u->call->alloc, &u->session);
  u->session = url;
  return IMGSTORE_OK;
}

static void take_least_chunk(ims_upload *u, const answer *a) {
  const char *value = ims_reply_field(a->reply, "OCI-Chunk-Min-Length");
  uint64_t least;
  if (value && ims_parse_u64(value, strlen(value), UINT64_MAX, &least))
    u->least = least;
  if (u->chunk && u->chunk < u->least)
    u->chunk = u->least;
}

static void begin_session(ims_upload *u, const answer *a) {
  u->offset = 0;
  u->resumed = u->lost = false;
  ims_url_free(u->call->alloc, &u->session);
  if (take_location(u, a))
    return;
  take_least_chunk(u, a);
  go(u, transfer_step(u), a);
}

/* "0-99" or "bytes=0-99": 100. False when there is none. "0-0" is what some say for nothing and some for one byte. */
static bool range_end(const answer *a, uint64_t *end) {
  const char *value = ims_reply_field(a->reply, "Range");
  if (!value)
    return false;
  if (ims_starts_with(value, "bytes="))
    value += strlen("bytes=");
  return ims_starts_with(value, "0-") && ims_parse_u64(value + 2, strlen(value + 2), UINT64_MAX - 1, end) && ++*end;
}

static bool is_away(const ims_upload *u) {
  return !ims_url_same_origin(&u->call->at, &u->call->home);
}

/* What every step does alike: credentials, and waiting for what may pass. */
static bool settled(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  if (status == 401 && !is_away(u)) {
    a->verdict->next = IMS_NEXT_AUTHORIZE;
    return true;
  }
  if (!ims_status_is_passing(status))
    return false;
  ims_call_pass(u->call, a->reply, a->wall_s, a->verdict, a->err);
  return true;
}

static void unexpected(const ims_upload *u, const answer *a) {
  ims_fail(a->err, IMGSTORE_EPROTOCOL, "%s: unexpected HTTP status %d", u->call->what, (int)a->reply->status);
  if (a->err)
    a->err->http_status = a->reply->status;
}

/* The registry names what it made of the blob. */
static bool names_other(const ims_upload *u, const answer *a) {
  ims_digest digest;
  ims_reply_digest(a->reply, &digest);
  if (digest.algorithm != u->plan.digest.algorithm || ims_digest_equal(&digest, &u->plan.digest))
    return false;
  ims_fail(a->err, IMGSTORE_EDIGEST, "%s: the registry says that it stored %s", u->call->what, digest.text);
  return true;
}

/* --- the steps ------------------------------------------------------------------------------------------------------
 */

static int step_after_look(const ims_upload *u) {
  return u->mount < u->plan.mount_count && !u->lost ? STEP_MOUNT : STEP_POST;
}

/* The answer to a HEAD has no words: when it is a refusal, the request that follows gets them. */
static void head_answer(ims_upload *u, const answer *a) {
  uint64_t length;
  int32_t status = a->reply->status;
  if (status == 200) {
    bool right = !ims_reply_length(a->reply, &length) || length == u->plan.size;
    if (right)
      done(u, u->lost ? IMS_UPLOAD_SENT : IMS_UPLOAD_EXISTS, a);
    else if (u->plan.look)
      done(u, IMS_UPLOAD_ABSENT, a);
    else
      go(u, step_after_look(u), a);
    return;
  }
  say(u, a);
  if (settled(u, a))
    return;
  if (u->plan.look && (status == 404 || status == 410))
    done(u, IMS_UPLOAD_ABSENT, a);
  else if (!u->plan.look && status >= 400)
    go(u, step_after_look(u), a);
}

static void next_mount(ims_upload *u, const answer *a) {
  u->mount++;
  go(u, step_after_look(u), a);
}

static void mount_answer(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  if (status == 201) {
    if (!names_other(u, a))
      done(u, IMS_UPLOAD_MOUNTED, a);
  } else if (status == 202) {
    begin_session(u, a);
  } else if (status >= 400) {
    say(u, a);
    if (!settled(u, a))
      next_mount(u, a);
  } else {
    next_mount(u, a);
  }
}

static void post_answer(ims_upload *u, const answer *a) {
  if (a->reply->status == 202) {
    begin_session(u, a);
  } else if (a->reply->status < 400) {
    unexpected(u, a);
  } else {
    say(u, a);
    settled(u, a);
  }
}

/* 413: less at once, as long as that is possible. */
static bool in_smaller_parts(ims_upload *u, const answer *a) {
  uint64_t part = u->end - u->offset, smaller = part / 2;
  if (smaller > FIRST_CHUNK && !u->chunk)
    smaller = FIRST_CHUNK;
  if (smaller < u->least)
    smaller = u->least;
  if (smaller < SMALLEST_CHUNK || smaller >= part)
    return false;
  u->chunk = smaller;
  if (!u->offset)
    ims_url_free(u->call->alloc, &u->session);
  go(u, u->offset ? STEP_STATUS : STEP_POST, a);
  return true;
}

/* What a PUT and a PATCH do about a refusal. */
static void transfer_refused(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  int step = u->step;
  bool reused = u->resumed; /* parts of an interrupted request may be what is wrong */
  say(u, a);
  if (settled(u, a)) {
    u->lost = u->lost || (step == STEP_PUT && ims_status_is_passing(status) && status != 429);
    if (status != 401 && status != 429)
      u->step = STEP_STATUS;
  } else if (status == 413 && in_smaller_parts(u, a)) {
    return;
  } else if (status == 404 || status == 410) {
    u->lost = u->lost || step == STEP_PUT; /* the session expired, or a try that the transport repeated completed it */
    restart(u, a);
  } else if (status == 416) {
    again(u, STEP_STATUS, a);
  } else if (is_away(u) && (status == 400 || status == 401 || status == 403)) {
    restart(u, a); /* a presigned URL that expired */
  } else if (status == 400 && reused) {
    restart(u, a);
  }
}

static void put_answer(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  if (status >= 400) {
    transfer_refused(u, a);
  } else if (status != 200 && status != 201 && status != 204) {
    unexpected(u, a);
  } else if (!names_other(u, a)) {
    done(u, IMS_UPLOAD_SENT, a);
  }
}

static void patch_answer(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  uint64_t have = u->end;
  if (status >= 400) {
    transfer_refused(u, a);
    return;
  }
  if (status != 202 && status != 200 && status != 201 && status != 204) {
    unexpected(u, a);
    return;
  }
  if (take_location(u, a))
    return;
  take_least_chunk(u, a);
  range_end(a, &have);
  if (have > u->end || have < u->offset) {
    ims_fail(a->err, IMGSTORE_EPROTOCOL, "%s: the registry says that it has %" PRIu64 " bytes, not %" PRIu64,
             u->call->what, have, u->end);
  } else if (have == u->end) {
    confirm(u, have);
    go(u, transfer_step(u), a);
  } else {
    ims_fail(a->err, IMGSTORE_ENETWORK, "%s: the registry took only %" PRIu64 " of %" PRIu64 " bytes", u->call->what,
             have - u->offset, u->end - u->offset);
    again(u, STEP_STATUS, a);
  }
}

static void status_answer(ims_upload *u, const answer *a) {
  int32_t status = a->reply->status;
  uint64_t have = 0;
  if (status >= 400) {
    say(u, a);
    if (!settled(u, a))
      restart(u, a);
    return;
  }
  if (status != 204 && status != 200 && status != 202) {
    unexpected(u, a);
    return;
  }
  if (take_location(u, a))
    return;
  if (!range_end(a, &have) || have <= 1 || have > u->plan.size) {
    ims_fail(a->err, IMGSTORE_EPROTOCOL, "%s: the upload cannot be resumed", u->call->what);
    restart(u, a);
    return;
  }
  u->lost = false;
  u->resumed = true;
  confirm(u, have);
  go(u, transfer_step(u), a);
}

void ims_upload_answer(ims_upload *u, const ims_reply *reply, const char *body, size_t size, const ims_secrets *secrets,
                       int64_t wall_s, ims_verdict *verdict, ims_error *err) {
  const answer a = {reply, body, size, secrets, wall_s, verdict, err};
  *verdict = (ims_verdict){IMS_NEXT_FAIL, 0, false};
  if (reply->status >= 300 && reply->status < 400) {
    if (ims_call_redirect(u->call, reply, verdict, err))
      u->follow = verdict->next == IMS_NEXT_SEND;
    else
      unexpected(u, &a);
    return;
  }
  switch (u->step) {
  case STEP_HEAD:
    head_answer(u, &a);
    break;
  case STEP_MOUNT:
    mount_answer(u, &a);
    break;
  case STEP_POST:
    post_answer(u, &a);
    break;
  case STEP_PUT:
    put_answer(u, &a);
    break;
  case STEP_PATCH:
    patch_answer(u, &a);
    break;
  default:
    status_answer(u, &a);
    break;
  }
}

void ims_upload_broken(ims_upload *u) {
  u->lost = u->lost || u->step == STEP_PUT;
  if (u->step == STEP_PUT || u->step == STEP_PATCH)
    u->step = STEP_STATUS;
}

bool ims_upload_unauthorized(ims_upload *u) {
  if (u->step != STEP_MOUNT)
    return false;
  u->mount++;
  u->step = step_after_look(u);
  return true;
}
