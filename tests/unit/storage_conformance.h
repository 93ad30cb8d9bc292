/*
 * storage_conformance.h - holds any imgstore_storage against the rules of imgstore/storage.h.
 *
 * For authors of backends: needs only the public headers and these two files. Every rule is tried on a fresh, empty
 * storage.
 */
#ifndef STORAGE_CONFORMANCE_H
#define STORAGE_CONFORMANCE_H

#include "imgstore/error.h"
#include "imgstore/storage.h"

typedef struct storage_conformance {
  void *data;
  /** Makes an empty storage. 0, or an error code. Its destroy entry is called at the end of each rule. */
  int32_t (*make)(void *data, imgstore_storage *storage);
  /** Called for each rule that is broken. */
  void (*broken)(void *data, const char *rule, const char *what, int line);
} storage_conformance;

/** Tries all rules. Returns how many checks failed. */
int storage_conformance_run(const storage_conformance *suite);

#endif
