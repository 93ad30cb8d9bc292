/*
 * json/keys.h (L1) - the keys of the objects that are open while the gate runs, and whether one comes twice.
 */
#ifndef IMS_JSON_KEYS_H
#define IMS_JSON_KEYS_H

#include "base/alloc.h"

enum { IMS_JSON_KEYS_INLINE = 64 };

typedef struct ims_json_key_place {
  uint64_t hash; /**< of the unescaped, case-folded key */
  size_t at;     /**< offset of its first byte, behind the quote */
  size_t size;   /**< bytes up to the closing quote */
} ims_json_key_place;

typedef struct ims_json_keys {
  const ims_alloc *alloc;
  const unsigned char *text;
  ims_json_key_place *items; /**< a stack: the keys of an inner object lie above those of its parents */
  size_t count;
  size_t capacity;
  ims_json_key_place few[IMS_JSON_KEYS_INLINE];
} ims_json_keys;

void ims_json_keys_init(ims_json_keys *keys, const ims_alloc *alloc, const unsigned char *text);
void ims_json_keys_free(ims_json_keys *keys);
/** Adds a key whose escapes and UTF-8 were checked. False when out of memory. */
bool ims_json_keys_push(ims_json_keys *keys, size_t at, size_t size);
/** Removes the keys from index first on; gives one that was there twice, or NULL. Valid until the next push. exact:
 * keys that differ in case are different. */
const ims_json_key_place *ims_json_keys_pop(ims_json_keys *keys, size_t first, bool exact);

#endif
