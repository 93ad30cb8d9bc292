/*
 * engine/registry_fetch.c (L4) - the life of one fetch: waiting, time limits, and what becomes of each response. Where
 * it asks is registry_aim.c's, the decisions about a single response are registry/call.c's.
 */
#include "engine/registry_fetch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

static const char *field(const void *source, const char *name, size_t nth) {
  const imgstore_exchange *x = source;
  for (size_t i = 0; i < x->response_count; i++)
    if (ims_equal_fold(x->response_headers[i].name, name) && nth-- == 0)
      return x->response_headers[i].value;
  return NULL;
}

ims_reply ims_fetch_reply(const ims_fetch *f) {
  return (ims_reply){f->exchange.status, &f->exchange, field};
}

void ims_fetch_close(ims_fetch *f) {
  ims_client *c = f->client;
  if (f->open && c->registry->core->pid == getpid()) {
    c->line->depth++;
    c->line->transport.close(c->line->transport.user_data, f->handle);
    c->line->depth--;
  }
  f->open = false;
  f->handle = NULL;
  ims_exchange_clear_response(&f->exchange);
}

/* --- ends -----------------------------------------------------------------------------------------------------------
 */

static void finish(ims_fetch *f, const ims_document *document) {
  int32_t code = f->err.code;
  f->dead = true;
  if (f->kind == IMS_FETCH_TOKEN)
    ims_token_failed(f);
  else if (f->kind == IMS_FETCH_BLOB)
    f->sink.done(f->sink.data, code, &f->err);
  else if (f->sending)
    ims_sending_done(f);
  else
    f->document_done(f->document_data, code, code ? NULL : document, &f->err);
  ims_fetch_close(f); /* not before: the listing of tags looks at the headers */
}

void ims_fetch_finish(ims_fetch *f) {
  finish(f, NULL);
}

static void tell_retry(ims_fetch *f, uint32_t delay_ms) {
  const ims_client_events *e = &f->client->events;
  ims_core *core = f->client->registry->core;
  if (ims_log_wants(core, IMGSTORE_LOG_INFO))
    ims_log(core, IMGSTORE_LOG_INFO, "%s: again in %" PRIu32 " ms", f->err.message, delay_ms);
  if (e->retry && f->kind != IMS_FETCH_TOKEN)
    e->retry(e->data, f->object, f->err.message, delay_ms);
}

static bool is_final(int32_t code) {
  return code == IMGSTORE_ENOMEM || code == IMGSTORE_ECANCELLED || code == IMGSTORE_ECALLBACK;
}

void ims_fetch_failed(ims_fetch *f) {
  ims_fetch_close(f);
  if (f->kind == IMS_FETCH_TOKEN && f->step != SIZE_MAX && ims_token_refused(f))
    return;
  bool more = f->kind != IMS_FETCH_TOKEN && f->step != SIZE_MAX && !is_final(f->err.code);
  while (more) {
    ims_error why = IMS_ERROR_INIT;
    f->step++;
    int32_t rc = ims_fetch_aim(f, &why);
    if (!rc) {
      tell_retry(f, 0);
      if (f->dead)
        return; /* cancelled by the listener */
      ims_error_clear(&f->err);
      f->state = IMS_FETCH_READY;
      return;
    }
    if (why.code)
      f->err = why;
    more = why.code && !is_final(why.code);
  }
  finish(f, NULL);
}

void ims_fetch_act(ims_fetch *f, const ims_verdict *verdict, const ims_url *asked) {
  ims_client *c = f->client;
  switch (verdict->next) {
  case IMS_NEXT_SEND:
    ims_error_clear(&f->err);
    f->state = IMS_FETCH_READY;
    break;
  case IMS_NEXT_AUTHORIZE:
    if (!ims_fetch_challenged(f) && !ims_sending_dodges(f)) {
      ims_fetch_failed(f);
      return;
    }
    ims_error_clear(&f->err);
    f->state = IMS_FETCH_READY;
    break;
  case IMS_NEXT_WAIT:
    f->state = IMS_FETCH_WAITING;
    f->wake_ms = c->now_ms + verdict->delay_ms;
    if (verdict->hold_host)
      ims_registry_hold(c->registry, asked, f->wake_ms);
    tell_retry(f, verdict->delay_ms);
    ims_error_clear(&f->err);
    break;
  default:
    ims_fetch_failed(f);
    return;
  }
  ims_fetch_close(f);
}

static void broken(ims_fetch *f, int32_t code, const char *message, bool retry) {
  ims_verdict verdict;
  ims_call_broken(&f->call, code, message, retry, &verdict, &f->err);
  if (f->sending)
    ims_upload_broken(&f->sending->upload);
  ims_fetch_act(f, &verdict, &f->call.base);
}

/* --- responses -------------------------------------------------------------------------------------------------------
 */

static void tell_fields(ims_fetch *f) {
  ims_client *c = f->client;
  char text[sizeof c->last_warning];
  const char *value;
  uint64_t left, limit;
  ims_reply reply = ims_fetch_reply(f);
  if (c->events.warning)
    for (size_t i = 0; i < 8 && !f->dead && (value = field(&f->exchange, "Warning", i)); i++)
      if (ims_warning_text(value, text, sizeof text) && strcmp(text, c->last_warning) != 0) {
        memcpy(c->last_warning, text, sizeof text);
        c->events.warning(c->events.data, text);
      }
  const char *limit_value = ims_reply_field(&reply, "ratelimit-limit");
  const char *left_value = ims_reply_field(&reply, "ratelimit-remaining");
  if (c->events.rate && !f->dead && limit_value && left_value && ims_rate_value(limit_value, &limit) &&
      ims_rate_value(left_value, &left))
    c->events.rate(c->events.data, left, limit);
}

ims_secrets ims_fetch_secrets(const ims_fetch *f) {
  const char *sent = f->authorization ? strchr(f->authorization, ' ') : NULL;
  const ims_token_job *t = f->token;
  return (ims_secrets){{sent ? sent + 1 : NULL, t ? t->credential.password : NULL,
                        t ? t->credential.identity_token : NULL, f->client->registry->options.password}};
}

static void refused(ims_fetch *f) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  const ims_secrets secrets = ims_fetch_secrets(f);
  ims_reply reply = ims_fetch_reply(f);
  ims_verdict verdict;
  ims_url asked;
  if (ims_url_copy(&asked, a, &f->call.at, &f->err) != IMGSTORE_OK) {
    ims_fetch_failed(f);
    return;
  }
  ims_call_answer(&f->call, &reply, ims_buf_text(&f->body), f->body.size, &secrets, ims_wall_ns() / 1000000000,
                  &verdict, &f->err);
  int32_t status = reply.status;
  if (f->head && !f->method && verdict.next == IMS_NEXT_FAIL && (status == 403 || status == 405 || status == 501)) {
    f->head = false; /* some registries refuse to be asked that way */
    verdict.next = IMS_NEXT_SEND;
  }
  ims_fetch_act(f, &verdict, &asked);
  ims_url_free(a, &asked);
}

/* What a captive portal or a wrong address answers; no registry's document has this type. */
static bool is_web_page(const char *type) {
  return ims_equal_fold(type, "text/html") || ims_equal_fold(type, "application/xhtml+xml");
}

static void got_web_page(ims_fetch *f) {
  char quote[IMS_ANSWER_QUOTE_MAX + 1];
  const ims_url *at = &f->call.at;
  size_t size = f->body.size < IMS_ANSWER_QUOTE_MAX ? f->body.size : IMS_ANSWER_QUOTE_MAX;
  ims_sanitize(quote, sizeof quote, ims_buf_text(&f->body), size);
  ims_fail(&f->err, IMGSTORE_EPROTOCOL, "%s: %.*s answered with a web page (%s)", f->what, (int)at->origin_size,
           at->text, quote);
  ims_fetch_failed(f);
}

/* Of a request only a 200 can be that; other statuses are not what a stranger would answer. */
static bool is_strange(const ims_fetch *f, const char *type) {
  return is_web_page(type) && (!f->method || (f->exchange.status == 200 && (f->head || f->body.size)));
}

static void arrived(ims_fetch *f) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  ims_reply reply = ims_fetch_reply(f);
  char *type = NULL;
  ims_document d = {NULL, 0, "", {0, ""}, UINT64_MAX, NULL, reply, &f->call.at};
  if (f->kind == IMS_FETCH_TOKEN) {
    ims_token_arrived(f);
    return;
  }
  if (ims_reply_media_type(&type, a, &reply, &f->err) != IMGSTORE_OK) {
    finish(f, NULL);
    return;
  }
  bool sized = ims_reply_length(&reply, &d.length), strange = is_strange(f, type);
  if (f->head && !f->method && (strange || !sized)) {
    f->head = false;
    f->state = IMS_FETCH_READY;
    ims_fetch_close(f);
  } else if (strange) {
    got_web_page(f);
  } else {
    ims_reply_digest(&reply, &d.digest);
    d.media_type = type;
    d.data = f->head ? NULL : ims_buf_text(&f->body);
    d.size = f->body.size;
    d.length = f->head ? d.length : f->body.size;
    d.mirror = f->endpoint && f->endpoint->is_mirror ? f->endpoint->host : NULL;
    if (f->names.algorithm && f->names.algorithm == d.digest.algorithm && !ims_digest_equal(&f->names, &d.digest))
      ims_fail(&f->err, IMGSTORE_EDIGEST, "%s: the registry says that it stored %s", f->what, d.digest.text);
    finish(f, &d);
  }
  ims_free(a, type);
}

/* The body ended in good order: is it all there? */
static void complete(ims_fetch *f) {
  char why[100];
  uint64_t due = f->size, have = f->position;
  if (f->kind != IMS_FETCH_BLOB) {
    ims_reply reply = ims_fetch_reply(f);
    have = f->body.size;
    if (!f->exact && !ims_reply_length(&reply, &due))
      due = have;
    if (f->head)
      due = have;
  }
  if (have >= due && f->kind == IMS_FETCH_BLOB) {
    finish(f, NULL);
  } else if (have >= due) {
    arrived(f);
  } else {
    snprintf(why, sizeof why, "the body ended after %" PRIu64 " of %" PRIu64 " bytes", have, due);
    broken(f, IMGSTORE_ENETWORK, why, true);
  }
}

static void too_long(ims_fetch *f) {
  bool sized = f->kind == IMS_FETCH_BLOB || f->exact;
  if (sized)
    ims_fail(&f->err, IMGSTORE_EDIGEST, "%s: the body is longer than its size of %" PRIu64 " bytes", f->what, f->size);
  else
    ims_fail(&f->err, IMGSTORE_ELIMIT, "%s: more than the limit of %zu bytes", f->what, f->body.ceiling);
  ims_fetch_failed(f);
}

/* A loopback registry was tried in https first and does not speak it. */
static bool falls_back(ims_fetch *f) {
  const imgstore_exchange *x = &f->exchange;
  if (f->kind == IMS_FETCH_TOKEN || !f->endpoint || x->status || x->done_code != IMGSTORE_EPROTOCOL ||
      !strstr(x->done_message, "not TLS") || !f->call.at.https || !ims_url_same_origin(&f->call.at, &f->call.home))
    return false;
  return ims_registry_fall_back(f->client->registry, f->endpoint);
}

static void transport_failed(ims_fetch *f) {
  char message[sizeof f->exchange.done_message];
  if (falls_back(f)) {
    ims_fetch_close(f);
    if (ims_fetch_aim(f, &f->err) != IMGSTORE_OK)
      ims_fetch_failed(f);
    else
      f->state = IMS_FETCH_READY;
    return;
  }
  memcpy(message, f->exchange.done_message, sizeof message);
  int32_t code = f->exchange.done_code == IMGSTORE_ECANCELLED ? IMGSTORE_EPROTOCOL : f->exchange.done_code;
  broken(f, code, message, f->exchange.retry);
}

static bool has_all(const ims_fetch *f) {
  return f->kind == IMS_FETCH_BLOB && f->content && f->headed && f->position == f->size;
}

/* A refusal counts even when its body was cut, unless what was cut may have been what to do next. */
static bool is_refusal(const ims_fetch *f) {
  const imgstore_exchange *x = &f->exchange;
  if (f->stop || (x->done_code == IMGSTORE_OK && f->headed && !f->content))
    return true;
  return f->headed && !f->content && x->done_code == IMGSTORE_ENETWORK && x->status >= 402;
}

static void judge(ims_fetch *f) {
  imgstore_registry *r = f->client->registry;
  bool home = f->endpoint && f->kind != IMS_FETCH_TOKEN && ims_url_same_origin(&f->call.at, &f->call.home);
  if (ims_log_wants(r->core, IMGSTORE_LOG_DEBUG) && f->exchange.status)
    ims_log(r->core, IMGSTORE_LOG_DEBUG, "%.*s: HTTP %d", (int)ims_url_public_size(&f->call.at), f->call.at.text,
            (int)f->exchange.status);
  if (home && f->exchange.status) {
    ims_registry_settle(r, f->endpoint, f->call.at.https);
    if (f->exchange.status < 400)
      f->refreshed = false; /* what was presented is good: it may expire and be renewed again */
    tell_fields(f);
    if (f->dead)
      return;
  }
  if (f->overlong) {
    too_long(f);
  } else if (f->body.failed == IMGSTORE_ENOMEM) {
    ims_fail_nomem(&f->err);
    ims_fetch_failed(f);
  } else if (f->sending) {
    if (!ims_sending_judge(f))
      transport_failed(f);
  } else if (is_refusal(f)) {
    refused(f);
  } else if (f->exchange.done_code != IMGSTORE_OK && !has_all(f)) {
    transport_failed(f);
  } else {
    complete(f);
  }
}

/* --- time
 * -------------------------------------------------------------------------------------------------------------- */

static bool is_uploading(const ims_fetch *f) {
  return !f->exchange.status && f->sent < f->exchange.upload_size;
}

static void watch(ims_fetch *f) {
  const imgstore_registry_options *o = &f->client->registry->options;
  int64_t now = f->client->now_ms;
  char why[100];
  if (!f->exchange.status && !is_uploading(f)) {
    if (now - f->started_ms < o->first_byte_timeout)
      return;
    snprintf(why, sizeof why, "no answer within %" PRIu32 " ms", o->first_byte_timeout);
    broken(f, IMGSTORE_ETIMEOUT, why, true);
    return;
  }
  if (f->paused || (f->exchange.status && !f->answered)) {
    f->answered = f->exchange.status != 0;
    f->window_ms = now;
    f->window_bytes = 0;
    return;
  }
  if (now - f->window_ms < o->stall_window)
    return;
  if (f->window_bytes >= o->stall_bytes) {
    f->window_ms = now;
    f->window_bytes = 0;
  } else if (has_all(f)) {
    complete(f);
  } else {
    snprintf(why, sizeof why, "stalled: %" PRIu64 " bytes within %" PRIu32 " ms", f->window_bytes, o->stall_window);
    broken(f, IMGSTORE_ETIMEOUT, why, true);
  }
}

static void run(ims_fetch *f) {
  const imgstore_transport *t = &f->client->line->transport;
  if (f->exchange.finished || f->stop) {
    judge(f);
    return;
  }
  if (f->resume && f->paused) {
    f->paused = false;
    f->window_ms = f->client->now_ms; /* the clock of a stall stood still */
    f->window_bytes = 0;
    f->client->started = true;
    f->client->line->depth++;
    t->resume(t->user_data, f->handle);
    f->client->line->depth--;
  }
  f->resume = false;
  watch(f);
}

/* Sends the next request, or finds that it is not the time for it. */
static void try_now(ims_fetch *f) {
  ims_client *c = f->client;
  ims_fetch_close(f);
  if (f->kind == IMS_FETCH_BLOB) {
    f->position = f->sink.position(f->sink.data);
    if (f->dead)
      return;
    if (f->position >= f->size) {
      finish(f, NULL);
      return;
    }
  }
  if (f->sending && ims_sending_prepare(f, &f->err) != IMGSTORE_OK) {
    ims_fetch_failed(f);
    return;
  }
  int64_t held = ims_registry_held_until(c->registry, &f->call.at);
  if (held > c->now_ms) {
    f->state = IMS_FETCH_WAITING;
    f->wake_ms = held;
    return;
  }
  int32_t rc = ims_fetch_authorize(f, &f->err);
  if (rc == IMGSTORE_EAGAIN) {
    f->state = IMS_FETCH_AUTH;
    return;
  }
  f->answered = false;
  if (!rc)
    rc = ims_fetch_send(f, &f->err);
  if (rc)
    ims_fetch_failed(f);
}

void ims_fetch_drive(ims_fetch *f) {
  if (f->state == IMS_FETCH_RUNNING)
    run(f);
  if (!f->dead && f->state == IMS_FETCH_WAITING && f->wake_ms <= f->client->now_ms)
    f->state = IMS_FETCH_READY;
  if (!f->dead && f->state == IMS_FETCH_READY)
    try_now(f);
}

int64_t ims_fetch_due(const ims_fetch *f) {
  const imgstore_registry_options *o = &f->client->registry->options;
  if (f->dead || f->state == IMS_FETCH_READY)
    return 0;
  if (f->state == IMS_FETCH_WAITING)
    return f->wake_ms;
  if (f->state == IMS_FETCH_AUTH)
    return INT64_MAX;
  if (f->exchange.finished || f->stop || f->resume)
    return 0;
  if (!f->exchange.status && !is_uploading(f))
    return f->started_ms + o->first_byte_timeout;
  return f->paused ? INT64_MAX : f->window_ms + o->stall_window;
}
