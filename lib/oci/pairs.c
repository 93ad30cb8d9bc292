/*
 * oci/pairs.c (L1) - lists of keys and values that own their texts. They are short: found by walking.
 */
#include "oci/pairs.h"

#include <string.h>

static size_t find(const ims_pair *pairs, size_t count, const char *key) {
  size_t i = 0;
  while (i < count && strcmp(pairs[i].key, key) != 0)
    i++;
  return i;
}

/* The texts are owned, so they may be freed although readers see them as constant. */
static void free_text(const ims_alloc *alloc, const char *text) {
  ims_free(alloc, (void *)(uintptr_t)text);
}

int32_t ims_pairs_add(const ims_alloc *alloc, ims_pair **pairs, size_t *count, const char *key, const char *value,
                      ims_error *err) {
  ims_pair *grown = ims_realloc_array(alloc, *pairs, *count + 1, sizeof *grown);
  if (!grown)
    return ims_fail_nomem(err);
  *pairs = grown;
  char *own_key = ims_strdup(alloc, key), *own_value = own_key ? ims_strdup(alloc, value) : NULL;
  if (!own_value) {
    ims_free(alloc, own_key);
    return ims_fail_nomem(err);
  }
  grown[(*count)++] = (ims_pair){own_key, own_value};
  return IMGSTORE_OK;
}

int32_t ims_pairs_set(const ims_alloc *alloc, ims_pair **pairs, size_t *count, const char *key, const char *value,
                      ims_error *err) {
  size_t i = find(*pairs, *count, key);
  if (i == *count)
    return value ? ims_pairs_add(alloc, pairs, count, key, value, err) : IMGSTORE_OK;
  ims_pair *pair = &(*pairs)[i];
  if (value) {
    char *own = ims_strdup(alloc, value);
    if (!own)
      return ims_fail_nomem(err);
    free_text(alloc, pair->value);
    pair->value = own;
    return IMGSTORE_OK;
  }
  free_text(alloc, pair->key);
  free_text(alloc, pair->value);
  memmove(pair, pair + 1, (*count - i - 1) * sizeof *pair);
  (*count)--;
  return IMGSTORE_OK;
}

const char *ims_pairs_get(const ims_pair *pairs, size_t count, const char *key) {
  size_t i = find(pairs, count, key);
  return i < count ? pairs[i].value : NULL;
}

void ims_pairs_free(const ims_alloc *alloc, ims_pair **pairs, size_t *count) {
  for (size_t i = 0; i < *count; i++) {
    free_text(alloc, (*pairs)[i].key);
    free_text(alloc, (*pairs)[i].value);
  }
  ims_free(alloc, *pairs);
  *pairs = NULL;
  *count = 0;
}
