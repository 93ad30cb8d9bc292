/*
 * oci/change.c (L1) - reads instructions (Dockerfile reference). Words are separated by blanks; quotes and backslashes
 * keep them together as a shell would; CMD, ENTRYPOINT, VOLUME take a JSON array as well.
 */
#include "oci/change.h"

#include <string.h>

#include "base/text.h"
#include "imgstore/image.h"
#include "oci/arena.h"
#include "oci/member.h"

enum { MAX_ITEMS = 1024 };

void ims_change_set_init(ims_change_set *set, const ims_alloc *alloc) {
  memset(set, 0, sizeof *set);
  set->alloc = alloc;
}

void ims_change_set_free(ims_change_set *set) {
  if (set->alloc)
    ims_arena_free(&set->arena, set->alloc);
}

static const char *keep(ims_change_set *set, const char *text, size_t size) {
  char *copy = ims_arena_take(&set->arena, set->alloc, size + 1, 1);
  if (copy)
    memcpy(copy, text, size);
  return copy;
}

/* Adds an item, or takes the place of the one with this key. */
static int32_t put_item(ims_change_set *set, int32_t list, const char *key, const char *value, bool replace,
                        ims_error *err) {
  ims_list *l = &set->list[list];
  if (!key || !value)
    return ims_fail_nomem(err);
  for (size_t i = 0; replace && i < l->count; i++)
    if (strcmp(l->items[i].key, key) == 0) {
      l->items[i].value = value;
      return IMGSTORE_OK;
    }
  if (l->count >= MAX_ITEMS)
    return ims_fail(err, IMGSTORE_EINVALID, "more than %d values", MAX_ITEMS);
  ims_pair *items = ims_arena_take(&set->arena, set->alloc, l->count + 1, sizeof *items);
  if (!items)
    return ims_fail_nomem(err);
  if (l->count)
    memcpy(items, l->items, l->count * sizeof *items);
  items[l->count++] = (ims_pair){key, value};
  l->items = items;
  return IMGSTORE_OK;
}

/* --- words ----------------------------------------------------------------------------------------------------------
 */

/* The next word of *at, unquoted, into out (room for all of *at). False at the end. */
static bool next_word(const char **at, char *out, size_t *size) {
  const char *p = *at + strspn(*at, " \t");
  char quote = '\0';
  *size = 0;
  if (!*p)
    return false;
  for (; *p && (quote || !strchr(" \t", *p)); p++) {
    if (!quote && (*p == '"' || *p == '\'')) {
      quote = *p;
    } else if (quote && *p == quote) {
      quote = '\0';
    } else {
      if (*p == '\\' && quote != '\'' && p[1])
        p++;
      out[(*size)++] = *p;
    }
  }
  out[*size] = '\0';
  *at = p;
  return true;
}

/* NAME=VALUE pairs, or NAME VALUE as one pair. joined: the value of an item is the whole NAME=VALUE. */
static int32_t put_pairs(ims_change_set *set, int32_t list, const char *rest, char *word, bool joined, ims_error *err) {
  size_t size;
  int32_t rc = IMGSTORE_OK;
  const char *at = rest, *first = rest;
  if (next_word(&first, word, &size) && !strchr(word, '=')) {
    const char *value = first + strspn(first, " \t");
    if (!*value)
      return ims_fail(err, IMGSTORE_EINVALID, "needs NAME=VALUE");
    const char *key = keep(set, rest, (size_t)(first - rest));
    ims_buf both;
    ims_buf_init(&both, set->alloc, SIZE_MAX - 1);
    ims_buf_printf(&both, "%.*s=%s", (int)(first - rest), rest, value);
    rc = both.failed ? ims_fail_nomem(err)
                     : put_item(set, list, key,
                                joined ? keep(set, ims_buf_text(&both), both.size) : keep(set, value, strlen(value)),
                                true, err);
    ims_buf_free(&both);
    return rc;
  }
  while (!rc && next_word(&at, word, &size)) {
    char *equals = strchr(word, '=');
    if (!equals || equals == word)
      return ims_fail(err, IMGSTORE_EINVALID, "\"%.200s\" is not NAME=VALUE", word);
    const char *key = keep(set, word, (size_t)(equals - word));
    rc =
        put_item(set, list, key, joined ? keep(set, word, size) : keep(set, equals + 1, strlen(equals + 1)), true, err);
  }
  return rc;
}

/* --- lists of arguments ---------------------------------------------------------------------------------------------
 */

static int32_t put_array(ims_change_set *set, int32_t list, const char *text, bool keyed, ims_error *err) {
  ims_json *json;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_json_parse(&json, set->alloc, text, strlen(text), "array", &why);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, IMGSTORE_EINVALID, "%s", why.message);
  for (const ims_json_value *v = ims_json_first(ims_json_root(json)); !rc && v; v = ims_json_next(v)) {
    const char *item = ims_json_string(v);
    if (!item)
      rc = ims_fail(err, IMGSTORE_EINVALID, "an array of strings is needed");
    else
      rc = put_item(set, list, keyed ? keep(set, item, strlen(item)) : "", keep(set, item, strlen(item)), keyed, err);
  }
  ims_json_free(json);
  return rc;
}

/* ["a","b"], or a line for the shell. */
static int32_t put_arguments(ims_change_set *set, int32_t list, const char *rest, ims_error *err) {
  set->list[list] = (ims_list){NULL, 0};
  if (*rest == '[')
    return put_array(set, list, rest, false, err);
  int32_t rc = put_item(set, list, "", "/bin/sh", false, err);
  if (!rc)
    rc = put_item(set, list, "", "-c", false, err);
  return rc ? rc : put_item(set, list, "", keep(set, rest, strlen(rest)), false, err);
}

static int32_t put_ports(ims_change_set *set, const char *rest, char *word, ims_error *err) {
  size_t size;
  int32_t rc = IMGSTORE_OK;
  while (!rc && next_word(&rest, word, &size)) {
    if (!strchr(word, '/'))
      strcat(word, "/tcp");
    const char *port = keep(set, word, strlen(word));
    rc = put_item(set, IMGSTORE_IMAGE_PORTS, port, port, true, err);
  }
  return rc;
}

static int32_t put_volumes(ims_change_set *set, const char *rest, char *word, ims_error *err) {
  size_t size;
  int32_t rc = IMGSTORE_OK;
  if (*rest == '[')
    return put_array(set, IMGSTORE_IMAGE_VOLUMES, rest, true, err);
  while (!rc && next_word(&rest, word, &size)) {
    const char *path = keep(set, word, size);
    rc = put_item(set, IMGSTORE_IMAGE_VOLUMES, path, path, true, err);
  }
  return rc;
}

static int32_t put_text(ims_change_set *set, int32_t field, const char *rest, char *word, ims_error *err) {
  size_t size;
  if (!next_word(&rest, word, &size) || rest[strspn(rest, " \t")])
    return ims_fail(err, IMGSTORE_EINVALID, "one value is needed");
  set->text[field] = keep(set, word, size);
  return set->text[field] ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* --- instructions ---------------------------------------------------------------------------------------------------
 */

enum { CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, INSTRUCTIONS };

static int which(const char *text, size_t size) {
  static const char *const names[INSTRUCTIONS] = {"CMD",     "ENTRYPOINT", "ENV",  "EXPOSE", "LABEL",
                                                  "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"};
  int i = 0;
  while (i < INSTRUCTIONS && !ims_equal_fold_n(text, size, names[i], strlen(names[i])))
    i++;
  return i;
}

static int32_t apply(ims_change_set *set, int instruction, const char *rest, char *word, ims_error *err) {
  switch (instruction) {
  case CMD:
    return put_arguments(set, IMGSTORE_IMAGE_CMD, rest, err);
  case ENTRYPOINT:
    return put_arguments(set, IMGSTORE_IMAGE_ENTRYPOINT, rest, err);
  case ENV:
    return put_pairs(set, IMGSTORE_IMAGE_ENV, rest, word, true, err);
  case EXPOSE:
    return put_ports(set, rest, word, err);
  case LABEL:
    return put_pairs(set, IMGSTORE_IMAGE_LABELS, rest, word, false, err);
  case ONBUILD:
    return put_item(set, IMGSTORE_IMAGE_ONBUILD, "", keep(set, rest, strlen(rest)), false, err);
  case STOPSIGNAL:
    return put_text(set, IMGSTORE_IMAGE_STOP_SIGNAL, rest, word, err);
  case USER:
    return put_text(set, IMGSTORE_IMAGE_USER, rest, word, err);
  case VOLUME:
    return put_volumes(set, rest, word, err);
  default:
    return put_text(set, IMGSTORE_IMAGE_WORKING_DIR, rest, word, err);
  }
}

int32_t ims_change_add(ims_change_set *set, const char *text, ims_error *err) {
  const char *start = text + strspn(text, " \t");
  size_t size = strcspn(start, " \t");
  const char *rest = start + size + strspn(start + size, " \t");
  int instruction = which(start, size);
  if (instruction == INSTRUCTIONS)
    return ims_fail(err, IMGSTORE_EINVALID, "change \"%.200s\": no instruction that changes a config", text);
  if (!*rest)
    return ims_fail(err, IMGSTORE_EINVALID, "change \"%.200s\": a value is missing", text);
  char *word = ims_malloc(set->alloc, strlen(rest) + sizeof "/tcp");
  if (!word)
    return ims_fail_nomem(err);
  int32_t rc = apply(set, instruction, rest, word, err);
  ims_free(set->alloc, word);
  return rc == IMGSTORE_EINVALID ? ims_error_prefix(err, "change \"%.200s\"", text) : rc;
}
