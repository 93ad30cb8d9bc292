/*
 * engine/registry_start.c (L4) - one request on its way: the exchange that is handed to the transport, and the pieces
 * that come back while the transport runs.
 */
#include <inttypes.h>
#include <string.h>

#include "engine/registry_fetch.h"

/* The first look at a response: is the body wanted? */
static void take_head(ims_fetch *f) {
  ims_reply reply = ims_fetch_reply(f);
  uint64_t length;
  f->headed = true;
  int head = f->sending ? IMS_HEAD_COLLECT : ims_call_head(&f->call, &reply);
  f->content = head == IMS_HEAD_CONTENT;
  f->stop = head == IMS_HEAD_STOP;
  f->skip = f->call.skip;
  f->body.ceiling = IMS_ANSWER_BODY_MAX;
  if (!f->content || f->kind == IMS_FETCH_BLOB)
    return;
  f->body.ceiling = f->kind == IMS_FETCH_TOKEN ? IMS_TOKEN_BODY_MAX
                    : f->size < SIZE_MAX / 2   ? (size_t)f->size
                                               : SIZE_MAX / 2;
  if (!f->head && ims_reply_length(&reply, &length) && length > f->body.ceiling)
    f->overlong = f->stop = true;
}

static size_t take_document(ims_fetch *f, const uint8_t *bytes, size_t size) {
  if (size > f->body.ceiling - f->body.size) {
    f->overlong = f->content;
    f->stop = true;
    return SIZE_MAX;
  }
  if (ims_buf_append(&f->body, bytes, size) != IMGSTORE_OK) {
    f->stop = true;
    return SIZE_MAX;
  }
  f->window_bytes += size;
  return size;
}

static size_t take_blob(ims_fetch *f, const uint8_t *bytes, size_t size) {
  size_t skipped = f->skip < size ? (size_t)f->skip : size, rest = size - skipped, taken = 0;
  uint64_t room = f->size - f->position;
  bool beyond = rest > room;
  f->skip -= skipped;
  f->window_bytes += skipped;
  if (beyond)
    rest = (size_t)room;
  if (rest) {
    taken = f->sink.body(f->sink.data, bytes + skipped, rest);
    if (f->dead)
      return SIZE_MAX;
    taken = taken < rest ? taken : rest;
    f->position += taken;
    f->window_bytes += taken;
    /* a trickle that is cut off as a stall each time must not forgive the failures for ever */
    if (taken && (f->window_bytes >= f->client->registry->options.stall_bytes || f->position == f->size))
      ims_call_progress(&f->call);
  }
  f->paused = taken < rest;
  if (beyond && !f->paused) {
    f->overlong = f->stop = true;
    return SIZE_MAX;
  }
  return skipped + taken;
}

static size_t on_body(void *data, const uint8_t *bytes, size_t size) {
  ims_fetch *f = data;
  if (!f->dead && !f->stop && !f->headed)
    take_head(f);
  if (f->dead || f->stop)
    return SIZE_MAX;
  return f->content && f->kind == IMS_FETCH_BLOB ? take_blob(f, bytes, size) : take_document(f, bytes, size);
}

/* The loop looks at exchange.finished; nothing is decided while the transport is on the stack. */
static void on_done(void *data) {
  ims_fetch *f = data;
  if (!f->headed && f->exchange.status)
    take_head(f);
}

static void add_header(ims_fetch *f, const char *name, const char *value) {
  f->headers[f->exchange.header_count++] = (ims_header){(char *)name, (char *)value};
}

static size_t read_form(void *data, uint64_t offset, void *buffer, size_t size) {
  const ims_fetch *f = data;
  const ims_buf *form = &f->token->form;
  if (offset >= form->size)
    return 0;
  size_t left = form->size - (size_t)offset;
  size = size < left ? size : left;
  memcpy(buffer, form->data + offset, size);
  return size;
}

/* The wait for an answer begins when the last of the body is on its way. */
static size_t read_upload(void *data, uint64_t offset, void *buffer, size_t size) {
  ims_fetch *f = data;
  size_t got = f->upload_read(f->upload_data, offset, buffer, size);
  if (got > size)
    return got; /* refused above */
  if (!got) {
    f->paused = true;
    return 0;
  }
  f->sent = offset + got;
  f->window_bytes += got;
  f->started_ms = f->client->now_ms;
  return got;
}

static void set_headers(ims_fetch *f) {
  if (f->accept)
    add_header(f, "Accept", f->accept);
  add_header(f, "Accept-Encoding", "identity");
  if (f->authorization)
    add_header(f, "Authorization", f->authorization);
  if (f->kind == IMS_FETCH_BLOB && ims_call_range(&f->call, f->position, f->range, sizeof f->range))
    add_header(f, "Range", f->range);
  if (f->token && f->token->posting)
    add_header(f, "Content-Type", "application/x-www-form-urlencoded");
  for (size_t i = 0; i < f->extra_count; i++)
    add_header(f, f->extra[i].name, f->extra[i].value);
}

static void set_settings(ims_fetch *f) {
  imgstore_registry *r = f->client->registry;
  imgstore_exchange *x = &f->exchange;
  const ims_endpoint *e = f->endpoint;
  x->setting[IMGSTORE_EXCHANGE_USER_AGENT] = r->options.user_agent;
  x->setting[IMGSTORE_EXCHANGE_PROXY] = ims_registry_proxy(r, &f->call.at);
  x->connect_timeout = r->options.connect_timeout;
  if (!e)
    return;
  x->setting[IMGSTORE_EXCHANGE_CA_FILE] = e->ca_file;
  x->insecure_tls = e->insecure_tls;
  if (!ims_url_same_host(&f->call.at, &f->call.home))
    return; /* a client certificate tells who we are: it is for the registry's host alone */
  x->setting[IMGSTORE_EXCHANGE_CERT_FILE] = e->cert_file;
  x->setting[IMGSTORE_EXCHANGE_KEY_FILE] = e->key_file;
}

static void reset(ims_fetch *f) {
  const ims_alloc *a = f->exchange.alloc;
  memset(&f->exchange, 0, sizeof f->exchange);
  f->exchange.alloc = a;
  f->headed = f->content = f->stop = f->overlong = f->paused = f->resume = false;
  f->skip = f->sent = 0;
  ims_buf_clear(&f->body);
}

int32_t ims_fetch_send(ims_fetch *f, ims_error *err) {
  ims_client *c = f->client;
  const imgstore_transport *t = &c->line->transport;
  imgstore_exchange *x = &f->exchange;
  reset(f);
  bool posting = f->token && f->token->posting;
  x->method = posting ? "POST" : f->method ? f->method : f->head ? "HEAD" : "GET";
  x->url = f->call.at.text;
  x->headers = f->headers;
  x->data = f;
  x->body = on_body;
  x->done = on_done;
  if (posting) {
    x->upload_size = f->token->form.size;
    x->upload_read = read_form;
  } else if (f->upload_read && f->upload_size) {
    x->upload_size = f->upload_size;
    x->upload_read = read_upload;
  }
  set_headers(f);
  set_settings(f);
  if (ims_log_wants(c->registry->core, IMGSTORE_LOG_DEBUG))
    ims_log(c->registry->core, IMGSTORE_LOG_DEBUG, "%s %.*s%s%s", x->method, (int)ims_url_public_size(&f->call.at),
            f->call.at.text, f->call.asked ? " " : "", f->call.asked ? f->range : "");
  c->line->depth++;
  int32_t rc = t->start(t->user_data, x, &f->handle);
  c->line->depth--;
  if (rc)
    return ims_fail(err, rc < 0 && rc >= IMGSTORE_EFORMAT ? rc : IMGSTORE_ENETWORK,
                    "%s: the request could not be started", f->what);
  f->open = c->started = true;
  f->state = IMS_FETCH_RUNNING;
  f->started_ms = f->window_ms = c->now_ms;
  f->window_bytes = 0;
  return IMGSTORE_OK;
}
