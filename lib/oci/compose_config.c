/*
 * oci/compose_config.c (L1) - writes image configs: the base's document with some members replaced (image-spec config;
 * Docker image spec v1.2). Members that nobody changes are copied, whatever they are.
 */
#include "oci/compose.h"

#include <string.h>

#include "imgstore/image.h"
#include "oci/compose_check.h"

enum { PIECE_KEEP, PIECE_DROP, PIECE_SET };

/* One member of the object that is written: its value is a part of the composer's values. */
typedef struct piece {
  const char *key;
  int state;
  bool written;
  size_t at, size;
} piece;

typedef struct composer {
  ims_buf values; /* of pieces, one behind the other */
  const ims_config *base;
  const ims_config_changes *changes;
  ims_error *err;
} composer;

static void put_text(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

static void begin(composer *c, piece *p) {
  p->state = PIECE_SET;
  p->at = c->values.size;
}

static void finish(composer *c, piece *p) {
  p->size = c->values.size - p->at;
}

/* --- one object --------------------------------------------------------------------------------------------------- */

static piece *find_piece(piece *pieces, size_t count, const char *key) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(pieces[i].key, key) == 0)
      return &pieces[i];
  return NULL;
}

static void put_key(ims_buf *out, const char *key, bool *first) {
  if (!*first)
    ims_buf_putc(out, ',');
  *first = false;
  put_text(out, key);
  ims_buf_putc(out, ':');
}

static void put_piece(composer *c, ims_buf *out, piece *p, bool *first) {
  p->written = true;
  if (p->state != PIECE_SET)
    return;
  put_key(out, p->key, first);
  /* out may be values itself: its memory moves while it grows */
  if (!c->values.failed && ims_buf_reserve(out, p->size) == IMGSTORE_OK)
    ims_buf_append(out, c->values.data + p->at, p->size);
}

/* The members of base in their order with the pieces in their places; pieces that are new stand at the end. */
static void put_object(composer *c, ims_buf *out, const ims_json_value *base, piece *pieces, size_t count) {
  bool first = true;
  ims_buf_putc(out, '{');
  for (const ims_json_value *v = ims_json_first(base); v; v = ims_json_next(v)) {
    piece *p = find_piece(pieces, count, ims_json_key(v));
    if (p && p->state != PIECE_KEEP) {
      put_piece(c, out, p, &first);
      continue;
    }
    put_key(out, ims_json_key(v), &first);
    ims_json_put_value(out, v);
  }
  for (size_t i = 0; i < count; i++)
    if (!pieces[i].written)
      put_piece(c, out, &pieces[i], &first);
  ims_buf_putc(out, '}');
}

static const ims_json_value *object_member(const ims_json_value *object, const char *key) {
  const ims_json_value *v = ims_json_get(object, key);
  return ims_json_type(v) == IMS_JSON_OBJECT ? v : NULL;
}

/* --- texts and lists ---------------------------------------------------------------------------------------------- */

static int32_t make_text(composer *c, piece *p, int field) {
  const char *text = c->changes->text[field];
  if (!text)
    return IMGSTORE_OK;
  p->state = PIECE_DROP;
  if (!*text)
    return IMGSTORE_OK;
  begin(c, p);
  put_text(&c->values, text);
  finish(c, p);
  return ims_check_field(field, text, c->err);
}

static void put_array(ims_buf *out, const ims_list *list) {
  ims_buf_putc(out, '[');
  for (size_t i = 0; i < list->count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    put_text(out, list->items[i].value);
  }
  ims_buf_putc(out, ']');
}

/* {"key":"value"} of keyed lists, {"value":{}} of sets. */
static int32_t put_map(ims_buf *out, const ims_list *list, bool keyed, ims_error *err) {
  const ims_pair **sorted;
  int32_t rc = ims_sort_pairs(out->alloc, list->items, list->count, !keyed, &sorted, err);
  if (rc)
    return rc;
  ims_buf_putc(out, '{');
  for (size_t i = 0; i < list->count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    put_text(out, keyed ? sorted[i]->key : sorted[i]->value);
    ims_buf_putc(out, ':');
    if (keyed)
      put_text(out, sorted[i]->value);
    else
      ims_buf_puts(out, "{}");
  }
  ims_buf_putc(out, '}');
  ims_free(out->alloc, sorted);
  return IMGSTORE_OK;
}

static int32_t make_list(composer *c, piece *p, int which) {
  const ims_list *list = c->changes->list[which];
  int32_t rc = IMGSTORE_OK;
  if (!list)
    return IMGSTORE_OK;
  p->state = PIECE_DROP;
  if (!list->count)
    return IMGSTORE_OK;
  for (size_t i = 0; i < list->count; i++)
    if ((rc = ims_check_item(which, &list->items[i], c->err)))
      return rc;
  begin(c, p);
  bool keyed = which == IMGSTORE_IMAGE_LABELS;
  if (keyed || which == IMGSTORE_IMAGE_PORTS || which == IMGSTORE_IMAGE_VOLUMES)
    rc = put_map(&c->values, list, keyed, c->err);
  else
    put_array(&c->values, list);
  finish(c, p);
  return rc;
}

static int32_t make_healthcheck(composer *c, piece *p) {
  const ims_healthcheck *h = c->changes->healthcheck;
  if (!h)
    return IMGSTORE_OK;
  p->state = PIECE_DROP;
  if (!h->test.count)
    return IMGSTORE_OK;
  int32_t rc = ims_check_healthcheck(h, c->err);
  if (rc)
    return rc;
  static const char *const keys[] = {"Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"};
  const uint64_t numbers[] = {h->interval, h->timeout, h->start_period, h->start_interval, h->retries};
  begin(c, p);
  ims_buf_puts(&c->values, "{\"Test\":");
  put_array(&c->values, &h->test);
  for (size_t i = 0; i < 5; i++)
    if (numbers[i])
      ims_buf_printf(&c->values, ",\"%s\":%llu", keys[i], (unsigned long long)numbers[i]);
  ims_buf_putc(&c->values, '}');
  finish(c, p);
  return IMGSTORE_OK;
}

/* --- history and layers ------------------------------------------------------------------------------------------- */

static int32_t make_part_text(composer *c, piece *p, const char *text) {
  if (!text || !*text)
    return IMGSTORE_OK;
  begin(c, p);
  put_text(&c->values, text);
  finish(c, p);
  return ims_check_text(text, "history", c->err);
}

static int32_t put_part(composer *c, ims_buf *out, const ims_history_part *part) {
  piece pieces[] = {
      {.key = "created"}, {.key = "author"}, {.key = "created_by"}, {.key = "comment"}, {.key = "empty_layer"}};
  if (part->empty) {
    begin(c, &pieces[4]);
    ims_buf_puts(&c->values, "true");
    finish(c, &pieces[4]);
  }
  int32_t rc = part->created && !part->kept ? ims_check_field(IMGSTORE_IMAGE_CREATED, part->created, c->err) : 0;
  if (!part->kept) {
    const char *const texts[] = {part->created, part->author, part->created_by, part->comment};
    for (size_t i = 0; !rc && i < 4; i++)
      rc = make_part_text(c, &pieces[i], texts[i]);
  }
  if (!rc)
    put_object(c, out, part->kept, pieces, 5);
  return rc;
}

const ims_json_value *ims_config_history_first(const ims_config *config) {
  const ims_json_value *history = ims_json_get(config ? ims_json_root(config->json) : NULL, "history");
  return ims_json_type(history) == IMS_JSON_ARRAY ? ims_json_first(history) : NULL;
}

/* Written aside first: entries are objects of pieces themselves. */
static int32_t make_history(composer *c, piece *p) {
  const ims_config_changes *ch = c->changes;
  ims_buf array;
  int32_t rc = IMGSTORE_OK;
  if (!ch->new_history && !ch->history_count)
    return IMGSTORE_OK;
  ims_buf_init(&array, c->values.alloc, c->values.ceiling);
  for (const ims_json_value *v = ch->new_history ? NULL : ims_config_history_first(c->base); v; v = ims_json_next(v)) {
    ims_buf_putc(&array, array.size ? ',' : '[');
    ims_json_put_value(&array, v);
  }
  for (size_t i = 0; !rc && i < ch->history_count; i++) {
    ims_buf_putc(&array, array.size ? ',' : '[');
    rc = put_part(c, &array, &ch->history[i]);
  }
  p->state = PIECE_DROP;
  if (!rc && array.size) {
    begin(c, p);
    ims_buf_append(&c->values, ims_buf_text(&array), array.size);
    ims_buf_putc(&c->values, ']');
    finish(c, p);
  }
  if (!rc && array.failed)
    rc = array.failed == IMGSTORE_ENOMEM ? ims_fail_nomem(c->err) : ims_fail(c->err, array.failed, "history: too long");
  ims_buf_free(&array);
  return rc;
}

static int32_t put_digest(composer *c, const ims_digest *digest, bool *first) {
  if (!digest->algorithm)
    return ims_fail(c->err, IMGSTORE_EINVALID, "a diffID is missing");
  if (!*first)
    ims_buf_putc(&c->values, ',');
  *first = false;
  put_text(&c->values, digest->text);
  return IMGSTORE_OK;
}

static int32_t make_rootfs(composer *c, piece *p) {
  const ims_config_changes *ch = c->changes;
  const ims_json_value *rootfs = object_member(c->base ? ims_json_root(c->base->json) : NULL, "rootfs");
  piece pieces[] = {{.key = "type"}, {.key = "diff_ids"}};
  size_t kept = c->base && !ch->new_diff_ids ? c->base->layer_count : 0;
  bool first = true;
  int32_t rc = IMGSTORE_OK;
  if (c->base && !ch->new_diff_ids && !ch->diff_id_count)
    return IMGSTORE_OK;
  begin(c, &pieces[0]);
  put_text(&c->values, "layers");
  finish(c, &pieces[0]);
  begin(c, &pieces[1]);
  ims_buf_putc(&c->values, '[');
  for (size_t i = 0; !rc && i < kept; i++)
    rc = put_digest(c, &c->base->diff_ids[i], &first);
  for (size_t i = 0; !rc && i < ch->diff_id_count; i++)
    rc = put_digest(c, &ch->diff_ids[i], &first);
  ims_buf_putc(&c->values, ']');
  finish(c, &pieces[1]);
  begin(c, p);
  if (!rc)
    put_object(c, &c->values, rootfs, pieces, 2);
  finish(c, p);
  return rc;
}

/* --- the document ------------------------------------------------------------------------------------------------- */

typedef struct inner_member {
  const char *key;
  int text, list; /* one of them, or neither: the healthcheck */
} inner_member;

static const inner_member inner_members[] = {
    {"User", IMGSTORE_IMAGE_USER, 0},
    {"ExposedPorts", 0, IMGSTORE_IMAGE_PORTS},
    {"Env", 0, IMGSTORE_IMAGE_ENV},
    {"Entrypoint", 0, IMGSTORE_IMAGE_ENTRYPOINT},
    {"Cmd", 0, IMGSTORE_IMAGE_CMD},
    {"Healthcheck", 0, 0},
    {"Volumes", 0, IMGSTORE_IMAGE_VOLUMES},
    {"WorkingDir", IMGSTORE_IMAGE_WORKING_DIR, 0},
    {"OnBuild", 0, IMGSTORE_IMAGE_ONBUILD},
    {"Labels", 0, IMGSTORE_IMAGE_LABELS},
    {"StopSignal", IMGSTORE_IMAGE_STOP_SIGNAL, 0},
    {"Shell", 0, IMGSTORE_IMAGE_SHELL},
};
enum { INNER_COUNT = sizeof inner_members / sizeof *inner_members };

static int32_t make_inner(composer *c, piece *p) {
  const ims_json_value *inner = object_member(c->base ? ims_json_root(c->base->json) : NULL, "config");
  piece pieces[INNER_COUNT];
  bool changed = !c->base; /* tools take the member for granted */
  int32_t rc = IMGSTORE_OK;
  memset(pieces, 0, sizeof pieces);
  for (size_t i = 0; !rc && i < INNER_COUNT; i++) {
    const inner_member *m = &inner_members[i];
    pieces[i].key = m->key;
    rc = m->text   ? make_text(c, &pieces[i], m->text)
         : m->list ? make_list(c, &pieces[i], m->list)
                   : make_healthcheck(c, &pieces[i]);
    changed = changed || pieces[i].state != PIECE_KEEP;
  }
  if (rc || !changed)
    return rc;
  begin(c, p);
  put_object(c, &c->values, inner, pieces, INNER_COUNT);
  finish(c, p);
  return IMGSTORE_OK;
}

enum { TOP_TEXTS = 8, TOP_COUNT = 11 };

static int32_t make_top(composer *c, piece pieces[TOP_COUNT]) {
  static const int texts[TOP_TEXTS] = {
      IMGSTORE_IMAGE_CREATED, IMGSTORE_IMAGE_AUTHOR,     IMGSTORE_IMAGE_ARCHITECTURE, IMGSTORE_IMAGE_VARIANT,
      IMGSTORE_IMAGE_OS,      IMGSTORE_IMAGE_OS_VERSION, IMGSTORE_IMAGE_COMMENT,      IMGSTORE_IMAGE_DOCKER_VERSION};
  static const char *const keys[TOP_COUNT] = {"created", "author",     "architecture", "variant",
                                              "os",      "os.version", "comment",      "docker_version",
                                              "config",  "rootfs",     "history"};
  int32_t rc = IMGSTORE_OK;
  memset(pieces, 0, TOP_COUNT * sizeof *pieces);
  for (size_t i = 0; i < TOP_COUNT; i++)
    pieces[i].key = keys[i];
  for (size_t i = 0; !rc && i < TOP_TEXTS; i++)
    rc = make_text(c, &pieces[i], texts[i]);
  if (!rc)
    rc = make_inner(c, &pieces[8]);
  if (!rc)
    rc = make_rootfs(c, &pieces[9]);
  return rc ? rc : make_history(c, &pieces[10]);
}

/* image-spec config: architecture and os are required. */
static int32_t check_required(const ims_config *base, const ims_config_changes *changes, ims_error *err) {
  static const int fields[] = {IMGSTORE_IMAGE_OS, IMGSTORE_IMAGE_ARCHITECTURE};
  for (size_t i = 0; i < 2; i++) {
    const char *text = changes->text[fields[i]];
    if (text ? !*text : !base)
      return ims_fail(err, IMGSTORE_EINVALID, "a config needs an os and an architecture");
  }
  return IMGSTORE_OK;
}

int32_t ims_compose_config(ims_buf *out, const ims_config *base, const ims_config_changes *changes, ims_error *err) {
  composer c = {.base = base, .changes = changes, .err = err};
  piece pieces[TOP_COUNT];
  size_t start = out->size;
  int32_t rc = check_required(base, changes, err);
  if (rc)
    return rc;
  ims_buf_init(&c.values, out->alloc, out->ceiling);
  rc = make_top(&c, pieces);
  if (!rc && c.values.failed)
    out->failed = c.values.failed;
  if (!rc && !out->failed)
    put_object(&c, out, base ? ims_json_root(base->json) : NULL, pieces, TOP_COUNT);
  ims_buf_free(&c.values);
  if (!rc && out->failed)
    rc = out->failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, out->failed, "config is too large");
  return rc ? rc : ims_json_check(out->alloc, ims_buf_text(out) + start, out->size - start, "config", err);
}
