/*
 * engine/build.h (L4) - what imgstore_builder is inside, for the three files that share it: build.c (the handle and
 * its config), build_rebase.c (another base), build_job.c (making the image).
 */
#ifndef IMS_ENGINE_BUILD_H
#define IMS_ENGINE_BUILD_H

#include "engine/build_layer.h"
#include "engine/image.h"
#include "engine/operation.h"
#include "oci/compose.h"

enum { IMS_ADD_TAR, IMS_ADD_READER, IMS_ADD_DIRECTORY, IMS_ADD_OPENED };

/** A layer to be made. */
typedef struct ims_addition {
  int kind; /**< IMS_ADD_* */
  const char *path, *prefix;
  imgstore_tar_read_fn read;
  void *user_data;
  bool used; /**< read was called: it gives nothing a second time */
  uint32_t flags;
  char *created_by, *comment;
  /** OPENED: makes the source, each time the builder is finished; data is user_data, given back by release. */
  int32_t (*open)(void *data, const ims_layer_setup *setup, ims_layer_source **source, ims_error *err);
  void (*release)(void *data);
} ims_addition;

/** A list of the config that was set. */
typedef struct ims_own_list {
  bool set;
  ims_pair *items;
  size_t count;
} ims_own_list;

struct imgstore_builder {
  atomic_uint refs; /**< the caller's, and the operation's */
  ims_core *core;
  imgstore_store *store;
  ims_lease lease; /**< on the layers that are kept */
  bool running;
  imgstore_image *base;     /**< or NULL */
  imgstore_image *new_base; /**< after a rebase: its history is referred to */
  ims_build_layer *layers;  /**< of the base */
  size_t layer_count;
  ims_history_part *history; /**< of the base: entries that are kept */
  size_t history_count;
  char *text[IMS_CONFIG_TEXTS]; /**< NULL: not set */
  ims_own_list list[IMS_CONFIG_LISTS];
  bool has_healthcheck;
  ims_healthcheck healthcheck;
  ims_own_list healthcheck_test;
  ims_pair *annotations;
  size_t annotation_count;
  ims_addition *additions;
  size_t addition_count;
  char *created_by, *comment; /**< for the next addition */
  uint32_t squash_from;       /**< UINT32_MAX: no */
};

/* --- build.c --- */

int32_t ims_builder_new(imgstore_builder **builder, imgstore_store *store, imgstore_image *base, ims_error *err);
void ims_builder_unref(imgstore_builder *builder);
int32_t ims_builder_set_text(imgstore_builder *b, int32_t field, const char *text, ims_error *err);
int32_t ims_builder_set_platform(imgstore_builder *b, const char *platform, ims_error *err);
int32_t ims_builder_set_list(imgstore_builder *b, int32_t list, const char *const *items, size_t count, ims_error *err);
int32_t ims_builder_set_item(imgstore_builder *b, int32_t list, const char *key, const char *value, ims_error *err);
int32_t ims_builder_set_annotation(imgstore_builder *b, const char *key, const char *value, ims_error *err);
/** healthcheck: its texts are copied. */
int32_t ims_builder_set_healthcheck(imgstore_builder *b, const ims_healthcheck *healthcheck, ims_error *err);
int32_t ims_builder_set_history(imgstore_builder *b, const char *created_by, const char *comment, ims_error *err);
/** addition: its texts are copied; its prefix is checked. */
int32_t ims_builder_add(imgstore_builder *b, const ims_addition *addition, ims_error *err);
int32_t ims_builder_squash(imgstore_builder *b, uint32_t from, ims_error *err);
/** Fills *layer from a manifest's entry. */
void ims_build_layer_of(ims_build_layer *layer, const imgstore_descriptor *descriptor, const ims_digest *diff_id);
/** An entry of a history belongs to a layer. */
bool ims_history_has_layer(const ims_history_part *part);
/**
 * Takes over the history of a config: as many entries without empty_layer as it has layers, whatever the document says.
 * skip_layers: leaves out what belongs to so many of the lowest layers. Appends to *parts.
 */
int32_t ims_history_take(const ims_alloc *alloc, const ims_config *config, size_t skip_layers, size_t skip_entries,
                         ims_history_part **parts, size_t *count, ims_error *err);

/* --- build_rebase.c --- */

int32_t ims_builder_rebase(imgstore_builder *b, imgstore_image *old_base, imgstore_image *new_base, ims_error *err);

/* --- build_job.c --- */

int32_t ims_builder_finish_start(imgstore_operation **op, imgstore_builder *b, const char *name,
                                 const imgstore_build_options *options, ims_error *err);

#endif
