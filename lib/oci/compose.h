/*
 * oci/compose.h (L1) - writes image configs, manifests and indexes: what a digest will be taken of.
 *
 * The same input gives the same bytes: members stand in a fixed order, maps are sorted by key, there is no white space.
 * What is composed is checked: bad values are IMGSTORE_EINVALID, and the document passes the strict gate of json/json.h
 * before it is handed out. Texts are UTF-8.
 */
#ifndef IMS_OCI_COMPOSE_H
#define IMS_OCI_COMPOSE_H

#include "oci/config.h"
#include "oci/manifest.h"

enum { IMS_FAMILY_OCI = 0, IMS_FAMILY_DOCKER = 1 }; /* of media types */

/** An entry of a history. */
typedef struct ims_history_part {
  const ims_json_value *kept; /**< an entry of another config as it stands there, or NULL: the texts below */
  const char *created, *created_by, *author, *comment; /**< NULL or "": none */
  bool empty;                                          /**< no layer belongs to it; a kept one becomes so */
} ims_history_part;

/** HEALTHCHECK of the Docker image spec; times in nanoseconds, 0: not said. */
typedef struct ims_healthcheck {
  ims_list test; /**< values: "NONE"; "CMD" and arguments; "CMD-SHELL" and a command. Empty: no healthcheck member */
  uint64_t interval, timeout, start_period, start_interval, retries;
} ims_healthcheck;

/** What a config has other than its base. A zeroed struct changes nothing. */
typedef struct ims_config_changes {
  const char *text[IMS_CONFIG_TEXTS];     /**< by IMGSTORE_IMAGE_CREATED...; NULL: as in the base; "": none */
  const ims_list *list[IMS_CONFIG_LISTS]; /**< by IMGSTORE_IMAGE_ENV...: the whole list; NULL: as in the base; empty:
                                               none. Labels: keys and values; the others: values */
  const ims_healthcheck *healthcheck;     /**< NULL: as in the base */
  bool new_history;                       /**< history is all there is; false: it comes behind the base's */
  const ims_history_part *history;
  size_t history_count;
  bool new_diff_ids; /**< diff_ids is all there is; false: they come behind the base's */
  const ims_digest *diff_ids;
  size_t diff_id_count;
} ims_config_changes;

/**
 * Appends a config document to out. base: NULL for one from scratch, which then needs OS and ARCHITECTURE. Members of
 * the base that the changes do not name are kept as they are, known or not. Errors: IMGSTORE_EINVALID (a value is not
 * what its field takes), IMGSTORE_EFORMAT and IMGSTORE_ELIMIT (the result is no acceptable document), IMGSTORE_ENOMEM.
 */
int32_t ims_compose_config(ims_buf *out, const ims_config *base, const ims_config_changes *changes, ims_error *err);
/** The history entries of a config as JSON: the first, walked with ims_json_next; NULL when there is none. */
const ims_json_value *ims_config_history_first(const ims_config *config);

typedef struct ims_manifest_parts {
  int32_t family;                    /**< IMS_FAMILY_*; DOCKER has no artifact_type, subject or annotations */
  const char *artifact_type;         /**< or NULL */
  const imgstore_descriptor *config; /**< NULL: the empty config of an artifact (OCI) */
  const imgstore_descriptor *layers;
  size_t layer_count;
  const imgstore_descriptor *subject; /**< or NULL */
  const ims_pair *annotations;
  size_t annotation_count;
} ims_manifest_parts;

/** Appends a manifest to out. Errors: as ims_compose_config. */
int32_t ims_compose_manifest(ims_buf *out, const ims_manifest_parts *parts, ims_error *err);

/** An entry of an index. */
typedef struct ims_index_entry {
  const char *text; /**< a descriptor exactly as it stands in a checked document, or NULL */
  size_t text_size;
  const imgstore_descriptor *descriptor; /**< without text. Its platform is written as it is spelt there */
  const char *os_version;                /**< or NULL */
} ims_index_entry;

/** Appends one descriptor. os_version: or NULL. */
int32_t ims_compose_descriptor(ims_buf *out, const imgstore_descriptor *descriptor, const char *os_version,
                               ims_error *err);
/** Appends a descriptor as it is but for one annotation, which is set, or removed (value NULL). */
int32_t ims_compose_annotated(ims_buf *out, const ims_json_value *descriptor, const char *key, const char *value,
                              ims_error *err);

typedef struct ims_index_parts {
  int32_t family;            /**< IMS_FAMILY_* */
  const char *artifact_type; /**< or NULL */
  const ims_index_entry *entries;
  size_t count;
  const imgstore_descriptor *subject; /**< or NULL */
  const ims_pair *annotations;
  size_t annotation_count;
} ims_index_parts;

/** Appends an index to out. Errors: as ims_compose_config. */
int32_t ims_compose_index(ims_buf *out, const ims_index_parts *parts, ims_error *err);

/** The descriptor of an artifact's empty config, "{}" (image-spec manifest, guidance for an empty descriptor). */
extern const char ims_empty_json[3];
void ims_empty_descriptor(imgstore_descriptor *descriptor);

#endif
