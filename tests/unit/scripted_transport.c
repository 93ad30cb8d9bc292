/*
 * tests/unit/scripted_transport.c - see scripted_transport.h.
 */
#include "scripted_transport.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void note(scripted *s, const imgstore_exchange *x) {
  if (s->log_count == sizeof s->log / sizeof s->log[0])
    return;
  request *r = &s->log[s->log_count++];
  memset(r, 0, sizeof *r);
  snprintf(r->line, sizeof r->line, "%s %s", imgstore_exchange_method(x), imgstore_exchange_url(x));
  for (size_t i = 0; i < imgstore_exchange_header_count(x); i++) {
    const char *name, *value;
    imgstore_exchange_header(x, i, &name, &value);
    if (strcasecmp(name, "Authorization") == 0)
      snprintf(r->authorization, sizeof r->authorization, "%s", value);
    if (strcasecmp(name, "Range") == 0)
      snprintf(r->range, sizeof r->range, "%s", value);
    if (strcasecmp(name, "Accept") == 0)
      snprintf(r->accept, sizeof r->accept, "%s", value);
    size_t used = strlen(r->content);
    if (strncasecmp(name, "Content-", 8) == 0)
      snprintf(r->content + used, sizeof r->content - used, "%s: %s\n", name, value);
  }
  r->upload_size = imgstore_exchange_upload_size(x);
  imgstore_exchange_upload_read(x, 0, r->form, sizeof r->form - 1);
  const char *proxy = imgstore_exchange_setting(x, IMGSTORE_EXCHANGE_PROXY);
  const char *cert = imgstore_exchange_setting(x, IMGSTORE_EXCHANGE_CERT_FILE);
  const char *ca = imgstore_exchange_setting(x, IMGSTORE_EXCHANGE_CA_FILE);
  snprintf(r->proxy, sizeof r->proxy, "%s", proxy ? proxy : "");
  snprintf(r->cert, sizeof r->cert, "%s", cert ? cert : "");
  snprintf(r->ca, sizeof r->ca, "%s", ca ? ca : "");
}

static const answer *find_answer(scripted *s, const char *line) {
  for (size_t i = 0; i < s->script_count; i++)
    if (!s->used[i] && strncmp(line, s->script[i].url, strlen(s->script[i].url)) == 0) {
      s->used[i] = true;
      return &s->script[i];
    }
  return NULL;
}

static int32_t start(void *user_data, imgstore_exchange *exchange, void **handle) {
  scripted *s = user_data;
  char line[1024];
  snprintf(line, sizeof line, "%s %s", imgstore_exchange_method(exchange), imgstore_exchange_url(exchange));
  note(s, exchange);
  for (size_t i = 0; i < SCRIPT_OPEN_MAX; i++) {
    scripted_open *o = &s->open[i];
    if (o->exchange)
      continue;
    *o = (scripted_open){.exchange = exchange, .answer = find_answer(s, line)};
    *handle = o;
    s->open_count++;
    s->most_open = s->open_count > s->most_open ? s->open_count : s->most_open;
    return 0;
  }
  return IMGSTORE_ENETWORK;
}

static int32_t resume(void *user_data, void *handle) {
  (void)user_data;
  ((scripted_open *)handle)->paused = false;
  return 0;
}

static void send_headers(scripted_open *o) {
  char name[128], value[1024];
  imgstore_exchange_set_status(o->exchange, o->answer->status);
  for (const char *at = o->answer->headers; at && *at;) {
    size_t size = strcspn(at, "\n"), colon = strcspn(at, ":");
    snprintf(name, sizeof name, "%.*s", (int)colon, at);
    snprintf(value, sizeof value, "%.*s", (int)(size - colon - 2), at + colon + 2);
    imgstore_exchange_add_header(o->exchange, name, value);
    at += size + (at[size] == '\n');
  }
}

static void end(scripted_open *o, int32_t code, const char *message, int32_t retry) {
  o->ended = true;
  imgstore_exchange_done(o->exchange, code, message, retry);
}

/* Reads the request's body as a network would; false: there is nothing at the moment, or it has ended. */
static bool take_body(scripted_open *o) {
  char piece[3];
  while (o->uploaded < imgstore_exchange_upload_size(o->exchange)) {
    size_t got = imgstore_exchange_upload_read(o->exchange, o->uploaded, piece, sizeof piece);
    if (got == SIZE_MAX)
      end(o, IMGSTORE_ECANCELLED, NULL, 0);
    o->paused = !got;
    if (!got || got == SIZE_MAX)
      return false;
    o->uploaded += got;
  }
  return true;
}

static void advance(scripted *s, scripted_open *o) {
  const answer *a = o->answer;
  if (!a) {
    end(o, IMGSTORE_EPROTOCOL, "not in the script", 0);
    return;
  }
  if (s->reads_bodies && !take_body(o))
    return;
  if (!o->begun && a->status)
    send_headers(o);
  o->begun = true;
  size_t total = !a->body ? 0 : a->size ? a->size : strlen(a->body);
  if (strcmp(imgstore_exchange_method(o->exchange), "HEAD") == 0)
    total = 0;
  while (o->sent < total && !o->paused) {
    size_t piece = s->chunk && s->chunk < total - o->sent ? s->chunk : total - o->sent;
    size_t taken = imgstore_exchange_body(o->exchange, a->body + o->sent, piece);
    if (taken == SIZE_MAX) {
      end(o, IMGSTORE_ECANCELLED, NULL, 0);
      return;
    }
    o->sent += taken;
    o->paused = taken < piece;
  }
  if (!o->paused && !(a->flags & SCRIPT_HANG))
    end(o, a->code, a->message, a->retry);
}

static int32_t perform(void *user_data, int32_t timeout_ms) {
  scripted *s = user_data;
  (void)timeout_ms;
  for (size_t i = 0; i < SCRIPT_OPEN_MAX; i++)
    if (s->open[i].exchange && !s->open[i].ended && !s->open[i].paused)
      advance(s, &s->open[i]);
  return 0;
}

static void close_handle(void *user_data, void *handle) {
  scripted *s = user_data;
  ((scripted_open *)handle)->exchange = NULL;
  s->open_count--;
}

static void destroy(void *user_data) {
  ((scripted *)user_data)->destroyed = true;
}

void scripted_init(scripted *s, const answer *script, size_t count) {
  memset(s, 0, sizeof *s);
  s->script = script;
  s->script_count = count;
}

imgstore_transport scripted_vtable(scripted *s) {
  return (imgstore_transport){.size = sizeof(imgstore_transport),
                              .user_data = s,
                              .start = start,
                              .resume = resume,
                              .perform = perform,
                              .close = close_handle,
                              .destroy = destroy};
}
