/*
 * tests/unit/fake_target.h - a registry in memory that takes pushes, behind the public transport vtable: keeps blobs
 * and manifests, notes their order, cuts connections, refuses manifests whose content it lacks.
 */
#ifndef FAKE_TARGET_H
#define FAKE_TARGET_H

#include <stdbool.h>

#include "imgstore/imgstore.h"

enum { TARGET_OBJECTS = 64 };

typedef struct target_object {
  char name[160]; /**< digest, or "tag" of a manifest */
  char *data;
  size_t size;
} target_object;

typedef struct target_exchange target_exchange;

typedef struct fake_target {
  target_object blobs[TARGET_OBJECTS], manifests[TARGET_OBJECTS];
  size_t blob_count, manifest_count;
  target_object sessions[TARGET_OBJECTS]; /**< name: its number */
  size_t session_count;
  target_exchange *running;
  size_t piece;        /**< bytes that are read of a body at a time; 0: 64 KiB */
  long cut_at;         /**< the first body that is longer than this is cut there; negative: none */
  int requests, sent;  /**< of any kind; of those that carry a blob */
  const char *refused; /**< a tag whose manifest is refused, or NULL */
} fake_target;

void fake_target_init(fake_target *target);
void fake_target_free(fake_target *target);
/** A handle on it as "target.test"; NULL when out of memory. */
imgstore_registry *fake_target_handle(fake_target *target, imgstore_context *context, imgstore_error **error);
/** NULL: not there. */
const target_object *fake_target_blob(const fake_target *target, const char *digest);
const target_object *fake_target_manifest(const fake_target *target, const char *name);

#endif
