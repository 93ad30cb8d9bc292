/*
 * rootfs/name_hash.h (L3) - a keyed hash of (directory, name). The key is drawn for each job, so that no image can
 * aim at collisions.
 */
#ifndef IMS_ROOTFS_NAME_HASH_H
#define IMS_ROOTFS_NAME_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct ims_hash_key {
  uint64_t k0, k1;
} ims_hash_key;

int32_t ims_hash_key_draw(ims_hash_key *key, ims_error *err);
/** SipHash-2-4 of the two numbers and the name; never 0. */
uint64_t ims_name_hash(const ims_hash_key *key, dev_t dev, ino_t ino, const char *name);
/** The same of a name that is part of a longer text. */
uint64_t ims_name_hash_sized(const ims_hash_key *key, uint64_t dev, uint64_t ino, const char *name, size_t size);

#endif
