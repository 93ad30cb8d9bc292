/* progress.c - keeps the rows, prints plain and JSON lines. Knows events; knows nothing of the screen. */
#include "progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_out.h"
#include "units.h"

enum { DRAW_INTERVAL = 80, COUNTDOWN_INTERVAL = 500, FEW_REQUESTS = 10 };

int64_t progress_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool progress_begin(progress *p, cli *c, const progress_words *words) {
  static const choice modes[] = {
      {"auto", PROGRESS_AUTO}, {"tty", PROGRESS_TTY}, {"plain", PROGRESS_PLAIN}, {"json", PROGRESS_JSON}, {NULL, 0}};
  static const progress_words none = {"", "", "", ""};
  int32_t mode = PROGRESS_AUTO;
  *p = (progress){.words = words ? *words : none};
  if (!cli_choice(c, OPTION_PROGRESS, modes, &mode))
    return false;
  if (mode == PROGRESS_AUTO)
    mode = cli_is_terminal() && !option_given(&c->args, OPTION_DEBUG) ? PROGRESS_TTY : PROGRESS_PLAIN;
  p->mode = option_given(&c->args, OPTION_QUIET) ? PROGRESS_QUIET : mode;
  c->json_messages = p->mode == PROGRESS_JSON;
  return true;
}

static void free_row(row *r) {
  free(r->digest);
  free(r->mounted);
}

void progress_free(progress *p) {
  for (size_t i = 0; i < p->count; i++)
    free_row(&p->rows[i]);
  free(p->rows);
  text_free(&p->screen);
  *p = (progress){0};
}

static row *find_row(progress *p, const char *digest) {
  for (size_t i = 0; i < p->count; i++)
    if (strcmp(p->rows[i].digest, digest) == 0)
      return &p->rows[i];
  return NULL;
}

/* Adds the row of a layer. NULL: out of memory, then the layer is not shown. */
static row *add_row(progress *p, const char *digest) {
  if (p->count == p->room) {
    size_t room = p->room ? p->room * 2 : 16;
    row *rows = reallocarray(p->rows, room, sizeof *rows);
    if (!rows)
      return NULL;
    p->rows = rows;
    p->room = room;
  }
  char *copy = strdup(digest);
  if (!copy)
    return NULL;
  p->rows[p->count] = (row){.digest = copy, .state = -1};
  return &p->rows[p->count++];
}

/* --- lines ---------------------------------------------------------------------------------------------------------
 */

void progress_line(progress *p, const char *format, ...) {
  if (p->mode != PROGRESS_PLAIN && p->mode != PROGRESS_TTY)
    return;
  text line = {0};
  va_list list;
  va_start(list, format);
  text_addv(&line, format, list);
  va_end(list);
  bars_erase(p);
  put_line(stderr, "%s", text_get(&line));
  text_free(&line);
  p->changed = true;
}

const char *progress_state(const progress *p, const row *r) {
  switch (r->state) {
  case ROW_WAITING:
    return "Waiting";
  case ROW_DOWNLOADING:
    return p->words.fetch;
  case ROW_DOWNLOADED:
    return p->words.fetched;
  case ROW_EXTRACTING:
    return "Extracting";
  case ROW_EXISTS:
    return p->pushing ? "Layer already exists" : "Already exists";
  case ROW_PREPARING:
    return "Preparing";
  case ROW_MOUNTED:
    return r->mounted ? r->mounted : "Mounted";
  case ROW_COMPLETE:
    return p->words.complete;
  default:
    return NULL;
  }
}

static void json_event(const imgstore_event *e) {
  static const char *const events[] = {"other",      "resolved",  "waiting",   "exists",    "downloading",
                                       "downloaded", "unpacking", "complete",  "retry",     "warning",
                                       "rate_limit", "flushing",  "committed", "preparing", "uploading",
                                       "uploaded",   "mounted",   "packing",   "packed"};
  static const char *const objects[] = {NULL, "index", "manifest", "config", "layer"};
  text t = {0};
  bool known = e->type > 0 && (size_t)e->type < sizeof events / sizeof *events;
  bool counted = e->type == IMGSTORE_EVENT_DOWNLOADING || e->type == IMGSTORE_EVENT_UNPACKING ||
                 e->type == IMGSTORE_EVENT_UPLOADING || e->type == IMGSTORE_EVENT_PACKING ||
                 e->type == IMGSTORE_EVENT_RATE_LIMIT;
  json_begin(&t);
  json_string(&t, "event", events[known ? e->type : 0]);
  if (e->object >= 0 && (size_t)e->object < sizeof objects / sizeof *objects)
    json_string(&t, "object", objects[e->object]);
  json_string(&t, "digest", e->digest);
  json_string(&t, "text", e->text);
  if (counted)
    json_number(&t, "done", e->done);
  if (counted || (e->total && e->type != IMGSTORE_EVENT_RETRY))
    json_number(&t, "total", e->total);
  if (e->type == IMGSTORE_EVENT_RETRY)
    json_number(&t, "delay", e->total);
  json_end(&t, stderr);
  text_free(&t);
}

/* --- events --------------------------------------------------------------------------------------------------------
 */

static int state_after(const row *r, int32_t event) {
  switch (event) {
  case IMGSTORE_EVENT_WAITING:
    return ROW_WAITING;
  case IMGSTORE_EVENT_EXISTS:
    return ROW_EXISTS;
  case IMGSTORE_EVENT_DOWNLOADING:
  case IMGSTORE_EVENT_UPLOADING:
    return ROW_DOWNLOADING;
  case IMGSTORE_EVENT_DOWNLOADED:
    return ROW_DOWNLOADED;
  case IMGSTORE_EVENT_UNPACKING:
    /* A layer may be unpacked while it streams in: until it is here the download is what there is to see. */
    return r->state == ROW_DOWNLOADING || r->state == ROW_RETRYING ? -1 : ROW_EXTRACTING;
  case IMGSTORE_EVENT_PACKED:
    return ROW_COMPLETE;
  case IMGSTORE_EVENT_COMPLETE:
    /* What was there and needed nothing else stays "Already exists". */
    return r->state == ROW_EXISTS ? ROW_EXISTS : ROW_COMPLETE;
  case IMGSTORE_EVENT_RETRY:
    return ROW_RETRYING;
  case IMGSTORE_EVENT_PREPARING:
    return ROW_PREPARING;
  case IMGSTORE_EVENT_UPLOADED:
    return ROW_COMPLETE;
  case IMGSTORE_EVENT_MOUNTED:
    return ROW_MOUNTED;
  default:
    return -1;
  }
}

static void layer_event(progress *p, const imgstore_event *e) {
  row *r = find_row(p, e->digest);
  if (!r && e->type != IMGSTORE_EVENT_RETRY)
    r = add_row(p, e->digest);
  int state = r ? state_after(r, e->type) : -1;
  if (state < 0)
    return;
  if (state == ROW_MOUNTED && !r->mounted && asprintf(&r->mounted, "Mounted from %s", e->text ? e->text : "") < 0)
    r->mounted = NULL;
  bool news = state != r->state;
  r->state = state;
  if (state == ROW_DOWNLOADING || state == ROW_EXTRACTING) {
    r->done = e->done;
    r->total = e->total;
  }
  if (state == ROW_RETRYING)
    r->retry_at = progress_clock() + (int64_t)e->total;
  p->changed = true;
  if (p->mode != PROGRESS_PLAIN || !news || !progress_state(p, r))
    return;
  put_line(stderr, "%s: %s", units_short_id(r->digest).text, progress_state(p, r));
}

static void other_event(progress *p, const imgstore_event *e) {
  const char *words = e->text ? e->text : "";
  switch (e->type) {
  case IMGSTORE_EVENT_RETRY: {
    unit_text what = {"Registry"};
    if (e->object == IMGSTORE_OBJECT_LAYER && e->digest)
      what = units_short_id(e->digest);
    progress_line(p, "%s: Retrying in %" PRIu64 ".%" PRIu64 " s: %s", what.text, e->total / 1000, e->total % 1000 / 100,
                  words);
    break;
  }
  case IMGSTORE_EVENT_PACKING:
    if (!e->done)
      progress_line(p, "%s: %s", p->words.fetch, words);
    break;
  case IMGSTORE_EVENT_WARNING:
    progress_line(p, "Warning: %s", words);
    break;
  case IMGSTORE_EVENT_RATE_LIMIT:
    if (e->done <= FEW_REQUESTS)
      progress_line(p, "Warning: %" PRIu64 " of %" PRIu64 " pulls are left at this registry", e->done, e->total);
    break;
  case IMGSTORE_EVENT_FLUSHING:
    p->flushing = p->changed = true;
    break;
  default:
    p->flushing = false;
    break;
  }
}

int32_t progress_event(void *user_data, const imgstore_event *e) {
  progress *p = user_data;
  if (e->type == IMGSTORE_EVENT_DOWNLOADED && e->object >= IMGSTORE_OBJECT_CONFIG)
    p->fetched = true;
  p->pushing = p->pushing || e->type == IMGSTORE_EVENT_PREPARING;
  if (p->mode == PROGRESS_JSON)
    json_event(e);
  if (p->mode != PROGRESS_PLAIN && p->mode != PROGRESS_TTY)
    return 0;
  if (e->object == IMGSTORE_OBJECT_LAYER && e->digest)
    layer_event(p, e);
  if (e->object != IMGSTORE_OBJECT_LAYER || !e->digest || e->type == IMGSTORE_EVENT_RETRY)
    other_event(p, e);
  return 0;
}

/* --- the screen ----------------------------------------------------------------------------------------------------
 */

static bool counts_down(const progress *p) {
  for (size_t i = 0; i < p->count; i++)
    if (p->rows[i].state == ROW_RETRYING)
      return true;
  return false;
}

int progress_timeout(const progress *p) {
  if (p->mode != PROGRESS_TTY || (!p->changed && !counts_down(p)))
    return -1;
  int64_t due = p->drawn_at + (p->changed ? DRAW_INTERVAL : COUNTDOWN_INTERVAL) - progress_clock();
  return due < 0 ? 0 : (int)due;
}

void progress_tick(progress *p) {
  if (progress_timeout(p) == 0)
    bars_draw(p, false);
}

void progress_end(progress *p) {
  p->flushing = false;
  if (p->mode == PROGRESS_TTY)
    bars_draw(p, true);
}
