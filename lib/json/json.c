/*
 * json/json.c (L1) - documents and typed accessors. The only file that sees cJSON; knows nothing of what a document is
 * about.
 *
 * cJSON reads numbers as doubles, through the locale, and at most 63 characters of them. So it never gets to see one:
 * numbers are copied aside and blanked to "0" before cJSON parses, and each number item then points to its own text.
 */
#include "json/json.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "base/text.h"

struct ims_json {
  ims_alloc alloc;
  cJSON *root;
  char *numbers; /* each NUL-terminated, in document order; the tree borrows them */
};

static const cJSON *item_of(const ims_json_value *v) {
  return (const cJSON *)(const void *)v;
}

static const ims_json_value *value_of(const cJSON *item) {
  return (const ims_json_value *)(const void *)item;
}

/* The next number of a checked document from *at on: its start, and *at behind it; size when there is none. */
static size_t find_number(const char *text, size_t size, size_t *at) {
  for (size_t i = *at; i < size; i++) {
    if (text[i] == '"') {
      for (i++; text[i] != '"'; i++)
        i += text[i] == '\\';
    } else if (text[i] == '-' || ims_is_digit(text[i])) {
      size_t end = i;
      while (end < size && (ims_is_digit(text[end]) || (text[end] && strchr("+-.eE", text[end]))))
        end++;
      *at = end;
      return i;
    }
  }
  return size;
}

static size_t numbers_size(const char *text, size_t size) {
  size_t bytes = 0;
  for (size_t at = 0, start; (start = find_number(text, size, &at)) < size;)
    bytes += at - start + 1;
  return bytes;
}

static void move_numbers(char *text, size_t size, char *numbers) {
  for (size_t at = 0, start; (start = find_number(text, size, &at)) < size;) {
    memcpy(numbers, text + start, at - start);
    numbers += at - start;
    *numbers++ = '\0';
    memset(text + start, ' ', at - start);
    text[start] = '0';
  }
}

/* Hands its text to a number, the next one in document order. IsReference keeps cJSON_Delete from freeing it. */
static void attach_number(cJSON *item, char **numbers) {
  if (!cJSON_IsNumber(item))
    return;
  item->valuestring = *numbers;
  item->type |= cJSON_IsReference;
  *numbers += strlen(*numbers) + 1;
}

static void attach_numbers(cJSON *root, char *numbers) {
  cJSON *parents[IMS_JSON_MAX_DEPTH];
  size_t depth = 0;
  for (cJSON *item = root; item;) {
    attach_number(item, &numbers);
    if (item->child) {
      parents[depth++] = item;
      item = item->child;
      continue;
    }
    while (!item->next && depth)
      item = parents[--depth];
    item = item->next;
  }
}

int32_t ims_json_parse(ims_json **json, const ims_alloc *alloc, const char *text, size_t size, const char *what,
                       ims_error *err) {
  *json = NULL;
  int32_t rc = ims_json_check(alloc, text, size, what, err);
  if (rc != IMGSTORE_OK)
    return rc;
  const char *end = NULL;
  char *blanked = ims_strndup(alloc, text, size);
  ims_json *made = ims_calloc(alloc, 1, sizeof *made);
  if (made)
    made->alloc = *alloc;
  if (!blanked || !made)
    goto out;
  made->numbers = ims_malloc(alloc, numbers_size(text, size));
  if (!made->numbers)
    goto out;
  move_numbers(blanked, size, made->numbers);
  made->root = cJSON_ParseWithLengthOpts(blanked, size, &end, 0);
  if (!made->root) /* the gate took it: only memory can be missing */
    goto out;
  attach_numbers(made->root, made->numbers);
  *json = made;
  made = NULL;
out:
  ims_json_free(made);
  ims_free(alloc, blanked);
  return *json ? IMGSTORE_OK : ims_fail_nomem(err);
}

void ims_json_free(ims_json *json) {
  if (!json)
    return;
  cJSON_Delete(json->root);
  ims_alloc alloc = json->alloc;
  if (json->numbers)
    ims_free(&alloc, json->numbers);
  ims_free(&alloc, json);
}

const ims_json_value *ims_json_root(const ims_json *json) {
  return json ? value_of(json->root) : NULL;
}

int32_t ims_json_type(const ims_json_value *v) {
  if (!v)
    return 0;
  switch (item_of(v)->type & 0xff) {
  case cJSON_False:
  case cJSON_True:
    return IMS_JSON_BOOL;
  case cJSON_Number:
    return IMS_JSON_NUMBER;
  case cJSON_String:
    return IMS_JSON_STRING;
  case cJSON_Array:
    return IMS_JSON_ARRAY;
  case cJSON_Object:
    return IMS_JSON_OBJECT;
  default:
    return IMS_JSON_NULL;
  }
}

const ims_json_value *ims_json_get(const ims_json_value *object, const char *key) {
  if (ims_json_type(object) != IMS_JSON_OBJECT)
    return NULL;
  for (const cJSON *item = item_of(object)->child; item; item = item->next)
    if (strcmp(item->string, key) == 0)
      return value_of(item);
  return NULL;
}

const ims_json_value *ims_json_first(const ims_json_value *container) {
  int32_t type = ims_json_type(container);
  return type == IMS_JSON_ARRAY || type == IMS_JSON_OBJECT ? value_of(item_of(container)->child) : NULL;
}

const ims_json_value *ims_json_next(const ims_json_value *v) {
  return v ? value_of(item_of(v)->next) : NULL;
}

size_t ims_json_count(const ims_json_value *container) {
  size_t count = 0;
  for (const ims_json_value *v = ims_json_first(container); v; v = ims_json_next(v))
    count++;
  return count;
}

const char *ims_json_key(const ims_json_value *member) {
  return member ? item_of(member)->string : NULL;
}

const char *ims_json_string(const ims_json_value *v) {
  return ims_json_type(v) == IMS_JSON_STRING ? item_of(v)->valuestring : NULL;
}

const char *ims_json_number(const ims_json_value *v) {
  return ims_json_type(v) == IMS_JSON_NUMBER ? item_of(v)->valuestring : NULL;
}

bool ims_json_uint(const ims_json_value *v, uint64_t *value) {
  const char *text = ims_json_number(v);
  return text && ims_parse_u64(text, strlen(text), UINT64_C(1) << 53, value);
}

bool ims_json_bool(const ims_json_value *v, bool *value) {
  if (ims_json_type(v) != IMS_JSON_BOOL)
    return false;
  *value = cJSON_IsTrue(item_of(v));
  return true;
}
