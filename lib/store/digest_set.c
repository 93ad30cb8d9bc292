/*
 * store/digest_set.c (L3) - open addressing over an array of items, placed by a keyed (multilinear) hash.
 */
#include "store/digest_set.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/core.h"
#include "base/text.h"

enum { FIRST_SLOTS = 64, MAX_ITEMS = 1 << 30 };

void ims_digest_set_init(ims_digest_set *set, const ims_alloc *alloc) {
  memset(set, 0, sizeof *set);
  set->alloc = alloc;
  if (getrandom(set->keys, sizeof set->keys, 0) != (ssize_t)sizeof set->keys)
    for (size_t i = 0; i < IMS_DIGEST_SET_KEYS; i++)
      set->keys[i] = (uint64_t)ims_wall_ns() * (2 * i + 1) ^ (uint64_t)(uintptr_t)set;
}

void ims_digest_set_free(ims_digest_set *set) {
  if (!set->alloc)
    return;
  ims_free(set->alloc, set->items);
  ims_free(set->alloc, set->slots);
  memset(set, 0, sizeof *set);
}

void ims_digest_set_clear(ims_digest_set *set) {
  set->count = 0;
  if (set->slots)
    memset(set->slots, 0, set->slot_count * sizeof *set->slots);
}

static uint8_t nibble(char c) {
  return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void to_item(const ims_digest *digest, ims_digest_item *item) {
  memset(item, 0, sizeof *item);
  item->algorithm = digest->algorithm;
  item->size = UINT64_MAX;
  const char *hex = ims_digest_hex(digest);
  for (size_t i = 0; i < ims_hash_size(digest->algorithm); i++)
    item->bytes[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
}

static size_t place_of(const ims_digest_set *set, const ims_digest_item *item) {
  uint64_t sum = set->keys[0] * (uint64_t)(uint32_t)item->algorithm;
  for (size_t i = 0; i < IMS_HASH_MAX_SIZE / 4; i++) {
    uint32_t word;
    memcpy(&word, item->bytes + 4 * i, sizeof word);
    uint64_t key = set->keys[1 + i / 2];
    sum += (i % 2 ? key >> 32 | key << 32 : key) * (uint64_t)word;
  }
  return (size_t)(sum >> 32) & (set->slot_count - 1);
}

static bool same(const ims_digest_item *a, const ims_digest_item *b) {
  return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/** The slot that holds the digest, or the free one where it belongs. */
static uint32_t *slot_of(const ims_digest_set *set, const ims_digest_item *key) {
  size_t at = place_of(set, key);
  while (set->slots[at] && !same(&set->items[set->slots[at] - 1], key))
    at = (at + 1) & (set->slot_count - 1);
  return &set->slots[at];
}

static bool grow_slots(ims_digest_set *set) {
  size_t old_count = set->slot_count;
  uint32_t *old = set->slots;
  size_t count = old_count ? old_count * 2 : FIRST_SLOTS;
  uint32_t *slots = ims_calloc(set->alloc, count, sizeof *slots);
  if (!slots)
    return false;
  set->slots = slots;
  set->slot_count = count;
  for (size_t i = 0; i < set->count; i++)
    *slot_of(set, &set->items[i]) = (uint32_t)i + 1;
  ims_free(set->alloc, old);
  return true;
}

static bool grow_items(ims_digest_set *set) {
  size_t capacity = set->capacity ? set->capacity * 2 : FIRST_SLOTS / 2;
  ims_digest_item *items = ims_realloc_array(set->alloc, set->items, capacity, sizeof *items);
  if (!items)
    return false;
  set->items = items;
  set->capacity = capacity;
  return true;
}

ims_digest_item *ims_digest_set_add(ims_digest_set *set, const ims_digest *digest) {
  ims_digest_item key;
  to_item(digest, &key);
  if (set->count >= MAX_ITEMS || (set->count == set->capacity && !grow_items(set)) ||
      (set->count * 2 >= set->slot_count && !grow_slots(set)))
    return NULL;
  uint32_t *slot = slot_of(set, &key);
  if (!*slot) {
    set->items[set->count++] = key;
    *slot = (uint32_t)set->count;
  }
  return &set->items[*slot - 1];
}

ims_digest_item *ims_digest_set_find(const ims_digest_set *set, const ims_digest *digest) {
  ims_digest_item key;
  if (!set->slot_count)
    return NULL;
  to_item(digest, &key);
  uint32_t at = *slot_of(set, &key);
  return at ? &set->items[at - 1] : NULL;
}

void ims_digest_item_digest(const ims_digest_item *item, ims_digest *digest) {
  memset(digest, 0, sizeof *digest);
  digest->algorithm = item->algorithm;
  int length = snprintf(digest->text, sizeof digest->text, "%s:", ims_digest_algorithm_name(item->algorithm));
  ims_hex_encode(item->bytes, ims_hash_size(item->algorithm), digest->text + length);
}
