/*
 * oci/config.c (L1) - reads image configs of OCI and Docker: texts, lists, history, diffIDs and chainIDs.
 */
#include "oci/config.h"

#include <string.h>

#include "imgstore/image.h"
#include "oci/arena.h"
#include "oci/member.h"

static ims_memory memory_of(ims_config *c) {
  return (ims_memory){&c->alloc, &c->arena};
}

typedef struct text_field {
  int field;
  bool inner; /* in the object "config" */
  const char *key;
} text_field;

static const text_field text_fields[] = {
    {IMGSTORE_IMAGE_CREATED, false, "created"},
    {IMGSTORE_IMAGE_AUTHOR, false, "author"},
    {IMGSTORE_IMAGE_OS, false, "os"},
    {IMGSTORE_IMAGE_ARCHITECTURE, false, "architecture"},
    {IMGSTORE_IMAGE_VARIANT, false, "variant"},
    {IMGSTORE_IMAGE_OS_VERSION, false, "os.version"},
    {IMGSTORE_IMAGE_USER, true, "User"},
    {IMGSTORE_IMAGE_WORKING_DIR, true, "WorkingDir"},
    {IMGSTORE_IMAGE_STOP_SIGNAL, true, "StopSignal"},
    {IMGSTORE_IMAGE_COMMENT, false, "comment"},
    {IMGSTORE_IMAGE_DOCKER_VERSION, false, "docker_version"},
};

enum { LIST_STRINGS, LIST_ARGUMENTS, LIST_SET, LIST_MAP };

typedef struct list_field {
  int list;
  int form;
  const char *key;
} list_field;

static const list_field list_fields[] = {
    {IMGSTORE_IMAGE_ENV, LIST_STRINGS, "Env"},       {IMGSTORE_IMAGE_ENTRYPOINT, LIST_ARGUMENTS, "Entrypoint"},
    {IMGSTORE_IMAGE_CMD, LIST_ARGUMENTS, "Cmd"},     {IMGSTORE_IMAGE_PORTS, LIST_SET, "ExposedPorts"},
    {IMGSTORE_IMAGE_VOLUMES, LIST_SET, "Volumes"},   {IMGSTORE_IMAGE_LABELS, LIST_MAP, "Labels"},
    {IMGSTORE_IMAGE_SHELL, LIST_ARGUMENTS, "Shell"}, {IMGSTORE_IMAGE_ONBUILD, LIST_STRINGS, "OnBuild"},
};

static int32_t read_texts(ims_config *c, const ims_json_value *root, const ims_json_value *inner, ims_error *err) {
  for (size_t i = 0; i < sizeof text_fields / sizeof *text_fields; i++) {
    const text_field *f = &text_fields[i];
    const char *text;
    int32_t rc = ims_member_text(f->inner ? inner : root, f->key, &text, err);
    if (rc != IMGSTORE_OK)
      return rc;
    c->text[f->field] = text ? text : "";
  }
  return IMGSTORE_OK;
}

/* The keys of an object whose values say nothing: {"80/tcp": {}}. */
static int32_t read_set(ims_list *list, const ims_json_value *inner, const char *key, ims_memory memory,
                        ims_error *err) {
  const ims_json_value *set;
  int32_t rc = ims_member_of_type(inner, key, IMS_JSON_OBJECT, &set, err);
  size_t count = ims_json_count(set);
  if (rc != IMGSTORE_OK || !count)
    return rc;
  list->items = ims_arena_take(memory.arena, memory.alloc, count, sizeof *list->items);
  if (!list->items)
    return ims_fail_nomem(err);
  for (const ims_json_value *v = ims_json_first(set); v; v = ims_json_next(v)) {
    int32_t type = ims_json_type(v);
    if (type != IMS_JSON_OBJECT && type != IMS_JSON_NULL)
      return ims_fail(err, IMGSTORE_EFORMAT, "%s: the value of \"%.100s\" is not an object", key, ims_json_key(v));
    list->items[list->count++] = (ims_pair){"", ims_json_key(v)};
  }
  return IMGSTORE_OK;
}

/* Docker reads a command that is a plain string as a list of that one string. */
static int32_t read_one_argument(ims_list *list, const char *argument, ims_memory memory, ims_error *err) {
  list->items = ims_arena_take(memory.arena, memory.alloc, 1, sizeof *list->items);
  if (!list->items)
    return ims_fail_nomem(err);
  list->items[0] = (ims_pair){"", argument};
  list->count = 1;
  return IMGSTORE_OK;
}

static int32_t read_list(ims_list *list, const ims_json_value *inner, const list_field *f, ims_memory memory,
                         ims_error *err) {
  const ims_pair *pairs;
  const char *argument = f->form == LIST_ARGUMENTS ? ims_json_string(ims_json_get(inner, f->key)) : NULL;
  if (argument)
    return read_one_argument(list, argument, memory, err);
  if (f->form == LIST_SET)
    return read_set(list, inner, f->key, memory, err);
  int32_t rc = f->form == LIST_MAP ? ims_member_map(inner, f->key, memory, &pairs, &list->count, err)
                                   : ims_member_strings(inner, f->key, memory, &pairs, &list->count, err);
  list->items = (ims_pair *)pairs;
  return rc;
}

static int32_t read_inner(ims_config *c, const ims_json_value *root, ims_error *err) {
  const ims_json_value *inner;
  int32_t rc = ims_member_of_type(root, "config", IMS_JSON_OBJECT, &inner, err);
  if (rc == IMGSTORE_OK)
    rc = read_texts(c, root, inner, err);
  for (size_t i = 0; rc == IMGSTORE_OK && i < sizeof list_fields / sizeof *list_fields; i++)
    rc = read_list(&c->list[list_fields[i].list], inner, &list_fields[i], memory_of(c), err);
  return rc;
}

static int32_t check_platform(const ims_config *c, ims_error *err) {
  static const int fields[] = {IMGSTORE_IMAGE_OS, IMGSTORE_IMAGE_ARCHITECTURE, IMGSTORE_IMAGE_VARIANT};
  static const char *const names[] = {"os", "architecture", "variant"};
  for (size_t i = 0; i < 3; i++)
    if (strlen(c->text[fields[i]]) >= IMS_PLATFORM_PART)
      return ims_fail(err, IMGSTORE_EFORMAT, "%s is longer than %d bytes", names[i], IMS_PLATFORM_PART - 1);
  return IMGSTORE_OK;
}

static int32_t read_history_entry(ims_history *h, const ims_json_value *object, bool *empty, ims_error *err) {
  static const char *const keys[] = {"created", "created_by", "author", "comment"};
  const char **const fields[] = {&h->created, &h->created_by, &h->author, &h->comment};
  if (ims_json_type(object) != IMS_JSON_OBJECT)
    return ims_fail(err, IMGSTORE_EFORMAT, "not an object");
  for (size_t i = 0; i < 4; i++) {
    const char *text;
    int32_t rc = ims_member_text(object, keys[i], &text, err);
    if (rc != IMGSTORE_OK)
      return rc;
    *fields[i] = text ? text : "";
  }
  const ims_json_value *v = ims_json_get(object, "empty_layer");
  *empty = false;
  if (v && ims_json_type(v) != IMS_JSON_NULL && !ims_json_bool(v, empty))
    return ims_fail(err, IMGSTORE_EFORMAT, "empty_layer is not a boolean");
  return IMGSTORE_OK;
}

/* When the entries do not add up to the layers nobody knows which made which. */
static void forget_layers(ims_config *c) {
  for (size_t i = 0; i < c->history_count; i++)
    c->history[i].layer = -1;
}

static int32_t read_history(ims_config *c, const ims_json_value *root, ims_error *err) {
  const ims_json_value *array;
  int32_t rc = ims_member_of_type(root, "history", IMS_JSON_ARRAY, &array, err);
  size_t count = ims_json_count(array), layers = 0;
  if (rc != IMGSTORE_OK || !count)
    return rc;
  c->history = ims_arena_take(&c->arena, &c->alloc, count, sizeof *c->history);
  if (!c->history)
    return ims_fail_nomem(err);
  for (const ims_json_value *v = ims_json_first(array); v; v = ims_json_next(v)) {
    bool empty;
    ims_history *h = &c->history[c->history_count];
    rc = read_history_entry(h, v, &empty, err);
    if (rc != IMGSTORE_OK) {
      ims_error_prefix(err, "history[%zu]", c->history_count);
      return rc;
    }
    h->layer = empty ? -1 : (int32_t)layers++;
    c->history_count++;
  }
  if (layers != c->layer_count)
    forget_layers(c);
  return IMGSTORE_OK;
}

/* chainID(n) = sha256(chainID(n-1) " " diffID(n)), image-spec "layer chainID". */
static void chain(ims_digest *out, const ims_digest *parent, const ims_digest *diff_id) {
  ims_hash hash;
  ims_hash_init(&hash, IMS_HASH_SHA256);
  ims_hash_update(&hash, parent->text, strlen(parent->text));
  ims_hash_update(&hash, " ", 1);
  ims_hash_update(&hash, diff_id->text, strlen(diff_id->text));
  ims_digest_from_hash(out, &hash);
}

static int32_t read_diff_ids(ims_config *c, const ims_json_value *array, ims_error *err) {
  size_t i = 0;
  c->diff_ids = ims_arena_take(&c->arena, &c->alloc, c->layer_count, sizeof *c->diff_ids);
  c->chain_ids = ims_arena_take(&c->arena, &c->alloc, c->layer_count, sizeof *c->chain_ids);
  if (!c->diff_ids || !c->chain_ids)
    return ims_fail_nomem(err);
  for (const ims_json_value *v = ims_json_first(array); v; v = ims_json_next(v), i++) {
    const char *text = ims_json_string(v);
    int32_t rc = text ? ims_digest_parse(&c->diff_ids[i], text, strlen(text), err)
                      : ims_fail(err, IMGSTORE_EFORMAT, "not a string");
    if (rc != IMGSTORE_OK) {
      ims_error_prefix(err, "rootfs.diff_ids[%zu]", i);
      return rc;
    }
    if (i == 0)
      c->chain_ids[0] = c->diff_ids[0];
    else
      chain(&c->chain_ids[i], &c->chain_ids[i - 1], &c->diff_ids[i]);
  }
  return IMGSTORE_OK;
}

static int32_t read_rootfs(ims_config *c, const ims_json_value *root, size_t layer_count, ims_error *err) {
  const ims_json_value *rootfs, *array = NULL;
  const char *type = NULL;
  int32_t rc = ims_member_of_type(root, "rootfs", IMS_JSON_OBJECT, &rootfs, err);
  if (rc == IMGSTORE_OK && !rootfs)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "rootfs is missing");
  if (rc == IMGSTORE_OK)
    rc = ims_member_text(rootfs, "type", &type, err);
  if (rc == IMGSTORE_OK && (!type || strcmp(type, "layers") != 0))
    rc = ims_fail(err, IMGSTORE_EFORMAT, "rootfs.type is not \"layers\"");
  if (rc == IMGSTORE_OK)
    rc = ims_member_of_type(rootfs, "diff_ids", IMS_JSON_ARRAY, &array, err);
  if (rc != IMGSTORE_OK)
    return rc;
  c->layer_count = ims_json_count(array);
  if (c->layer_count != layer_count)
    return ims_fail(err, IMGSTORE_EFORMAT, "rootfs.diff_ids has %zu entries, but the manifest has %zu layers",
                    c->layer_count, layer_count);
  return read_diff_ids(c, array, err);
}

static int32_t read_document(ims_config *c, size_t layer_count, ims_error *err) {
  const ims_json_value *root = ims_json_root(c->json);
  if (ims_json_type(root) != IMS_JSON_OBJECT)
    return ims_fail(err, IMGSTORE_EFORMAT, "not a JSON object");
  int32_t rc = read_rootfs(c, root, layer_count, err);
  if (rc == IMGSTORE_OK)
    rc = read_inner(c, root, err);
  if (rc == IMGSTORE_OK)
    rc = check_platform(c, err);
  if (rc == IMGSTORE_OK)
    rc = read_history(c, root, err);
  return rc;
}

static int32_t check_digest(const ims_digest *expected, const void *data, size_t size, ims_error *err) {
  ims_digest digest;
  if (!expected)
    return IMGSTORE_OK;
  ims_digest_of(&digest, expected->algorithm, data, size);
  if (ims_digest_equal(&digest, expected))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EDIGEST, "the content hashes to %s", digest.text);
}

int32_t ims_config_parse(ims_config **config, const ims_alloc *alloc, const void *data, size_t size,
                         const ims_digest *digest, size_t layer_count, ims_error *err) {
  *config = NULL;
  ims_config *made = ims_calloc(alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  made->alloc = *alloc;
  made->size = size;
  int32_t rc = check_digest(digest, data, size, err);
  if (rc == IMGSTORE_OK && !(made->data = ims_strndup(alloc, size ? data : "", size)))
    rc = ims_fail_nomem(err);
  if (rc == IMGSTORE_OK)
    rc = ims_json_parse(&made->json, alloc, made->data, size, "document", err);
  if (rc == IMGSTORE_OK)
    rc = read_document(made, layer_count, err);
  if (rc == IMGSTORE_OK) {
    *config = made;
    return IMGSTORE_OK;
  }
  ims_error_prefix(err, digest ? "config %s" : "config", digest ? digest->text : "");
  ims_config_free(made);
  return rc;
}

void ims_config_free(ims_config *config) {
  if (!config)
    return;
  ims_alloc alloc = config->alloc;
  ims_arena_free(&config->arena, &alloc);
  ims_json_free(config->json);
  ims_free(&alloc, config->data);
  ims_free(&alloc, config);
}

void ims_config_platform(const ims_config *config, ims_platform *platform) {
  memset(platform, 0, sizeof *platform);
  memcpy(platform->os, config->text[IMGSTORE_IMAGE_OS], strlen(config->text[IMGSTORE_IMAGE_OS]));
  memcpy(platform->architecture, config->text[IMGSTORE_IMAGE_ARCHITECTURE],
         strlen(config->text[IMGSTORE_IMAGE_ARCHITECTURE]));
  memcpy(platform->variant, config->text[IMGSTORE_IMAGE_VARIANT], strlen(config->text[IMGSTORE_IMAGE_VARIANT]));
  ims_platform_normalise(platform);
}
