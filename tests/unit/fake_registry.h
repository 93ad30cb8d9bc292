/*
 * tests/unit/fake_registry.h - a registry in memory behind the public transport vtable: one image of three layers
 * (plain tar) for linux/amd64 and linux/arm64, below an index tagged "1". Counts requests and can misbehave.
 */
#ifndef FAKE_REGISTRY_H
#define FAKE_REGISTRY_H

#include <stdbool.h>

#include "imgstore/imgstore.h"

enum { FAKE_LAYERS = 3, FAKE_OBJECTS = 32 };

typedef struct fake_object {
  char digest[80];
  char type[96]; /**< "" for a blob */
  char *data;
  size_t size;
} fake_object;

typedef struct fake_exchange fake_exchange;

typedef struct fake_registry {
  fake_object objects[FAKE_OBJECTS];
  size_t count;
  size_t index;                /**< of the tagged index in objects */
  char layer[FAKE_LAYERS][80]; /**< digests */
  fake_exchange *running;
  size_t piece; /**< bytes per body call; 0: all at once */
  int blob_requests, manifest_requests;
  int cut_after;       /**< a blob's connection breaks after so many bytes, once per request; 0: never */
  bool stall;          /**< blobs never send a byte */
  const char *corrupt; /**< digest of a blob that is sent with one bit flipped */
} fake_registry;

void fake_registry_init(fake_registry *fake);
void fake_registry_free(fake_registry *fake);
/** One more object. type: "" for a blob. What the tag names is objects[index]. */
const fake_object *fake_add(fake_registry *fake, const char *type, const void *data, size_t size);
imgstore_transport fake_transport(fake_registry *fake);
/** A handle on it as "registry.test"; NULL when out of memory. */
imgstore_registry *fake_handle(fake_registry *fake, imgstore_context *context, imgstore_error **error);

#define FAKE_NAME "registry.test/app:1"

#endif
