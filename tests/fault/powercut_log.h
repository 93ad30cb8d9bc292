/*
 * powercut_log.h - records what a program does to one directory tree, and builds the trees that a power cut at any
 * instant could leave.
 *
 * The model: a write lasts when the file was flushed after it, a name when its directory was flushed after it.
 * Everything else may or may not be there: names each on its own (a rename across directories may even leave both), or
 * in order as a journal keeps them; data not at all, as zeros, in parts.
 */
#ifndef POWERCUT_LOG_H
#define POWERCUT_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sys.h"

/** The table that records; everything below the directory given to powercut_begin. */
extern const ims_sys powercut_sys;

void powercut_begin(const char *path);
/** Stops recording. */
void powercut_end(void);
void powercut_free(void);
/** Notes that the program was told that something lasts. */
void powercut_mark(const char *text);

/** How many instants there are: one before each recorded call and one after the last. */
size_t powercut_instants(void);
/** Was this noted before the instant? */
bool powercut_marked(size_t instant, const char *text);

enum {
  POWERCUT_NOTHING, /**< only what was flushed */
  POWERCUT_NAMES,   /**< all names, no data that was not flushed: empty files */
  POWERCUT_ZEROS,   /**< all names, sizes right, zeros for data that was not flushed */
  POWERCUT_ALL,     /**< everything: a kill */
  POWERCUT_JOURNAL, /**< names in order up to some point, data at random */
  POWERCUT_CHANCE,  /**< names and data at random */
  POWERCUT_MODELS
};

/** Builds the tree of one instant in path, which must not exist. seed: for the models with chance. */
void powercut_build(size_t instant, int model, unsigned seed, const char *path);

#endif
