/*
 * engine/bring.h (L4) - the job behind pull and load: brings images into a store from a registry or another store.
 *
 * Shared by bring.c (the job), bring_graph.c (manifests, indexes, configs), bring_commit.c (publishing), and what sets
 * such a job up: load.c, save_dir.c.
 */
#ifndef IMS_ENGINE_BRING_H
#define IMS_ENGINE_BRING_H

#include "engine/job_client.h"
#include "engine/transfer.h"
#include "engine/trust.h"
#include "engine/unpacker.h"
#include "imgstore/transfer.h"
#include "oci/config.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "store/store.h"

typedef struct bring bring;

enum { NODE_HEAD, NODE_NEW, NODE_FETCHING, NODE_CONFIG, NODE_DONE };

/** One manifest or index of what is brought in. */
typedef struct bring_node {
  bring *job;
  struct bring_node *parent; /**< NULL: a root */
  unsigned depth;
  int state;
  ims_digest digest; /**< algorithm 0: a tag, not resolved yet */
  uint64_t size;     /**< UINT64_MAX: not known yet */
  char media_type[128];
  ims_digest hinted; /**< what a HEAD answered: where to look in the store */
  imgstore_manifest *manifest;
  ims_config *config;
  bool stored; /**< the manifest is in the store already */
  ims_fetch *fetch;
} bring_node;

/** One name that is set in the end. */
typedef struct bring_root {
  char *name;
  bring_node *top;
} bring_root;

enum { STAGE_BEGIN, STAGE_RUN, STAGE_FINISH_TREE, STAGE_FLUSH, STAGE_MANIFESTS, STAGE_REFERENCES };

struct bring {
  imgstore_operation op; /**< first member */
  imgstore_store *store;
  imgstore_store *source; /**< another store, or NULL: a registry */
  ims_client *client;
  ims_job_listener listener;
  imgstore_reference *reference; /**< of a pull */
  ims_lease lease;
  bool all_platforms;
  bool sparse;            /**< children that the source lacks are left out */
  bool copied;            /**< reported as a push is, object by object */
  bool platform_required; /**< the caller named it */
  ims_platform platform;
  int stage;
  int32_t failed; /**< a callback of the client failed; op.err says how */

  bring_root *roots;
  size_t root_count, root_capacity;
  bring_node **nodes;
  size_t node_count, node_capacity, nodes_busy;
  ims_transfer **transfers;
  size_t transfer_count, transfer_capacity, transfers_done;
  ims_unpacker *unpacker;
  struct ims_layers *layers; /**< layers go to layer directories, or NULL */
  bool graph_done;           /**< all manifests and configs are there */
  ims_trust trust;           /**< of a pull with a policy: nothing but manifests is fetched before it agrees */
};

/* --- bring.c --- */

extern const ims_job bring_job;
/** size: of the struct that begins with the bring; the rest is zeroed too. */
int32_t bring_new(bring **out, size_t size, imgstore_store *store, imgstore_event_fn progress, void *progress_data,
                  ims_error *err);
/** A job that could not be set up: end and destroy, with the error for the caller. */
int32_t bring_give_up(bring *b, int32_t rc, ims_error *err);
/** Adds a name that is set in the end. descriptor NULL: the tag of the job's reference. */
int32_t bring_add_root(bring *b, const char *name, const imgstore_descriptor *descriptor);

/* --- bring_graph.c --- */

/** Adds a node to fetch. descriptor NULL: the tag of the job's reference. */
int32_t bring_add_node(bring *b, bring_node *parent, const imgstore_descriptor *descriptor, bring_node **node);
/** Advances every node; IMGSTORE_OK when all are done. */
int32_t bring_advance_graph(bring *b);
/** The node below top that its indexes choose for the job's platform, of any kind; NULL when there is none (yet). */
bring_node *bring_leaf(const bring *b, const bring_node *top);
/** The image node below top for the job's platform, or NULL when there is none (yet). */
bring_node *bring_chosen(const bring *b, const bring_node *top);
/** The digests that what is pulled goes by: with all platforms the top, else everything from the top down to the image
 * of the platform. 0 while some of it is not there yet. */
size_t bring_subjects(const bring *b, ims_digest *subjects, size_t most);
/** The transfer of a digest, or NULL. */
ims_transfer *bring_find_transfer(const bring *b, const ims_digest *digest);
void bring_free_graph(bring *b);

/* --- bring_layers.c: nothing of it does anything when the job has no layer directories --- */

int32_t bring_layers_setup(bring *b, struct imgstore_rootfs_dir *dir, const imgstore_layers_options *options);
/** IMGSTORE_OK: all are applied. */
int32_t bring_layers_advance(bring *b, int64_t now);
/** The transfer has to wait until it is known which layers are to be applied. */
bool bring_layers_hold(const bring *b, const ims_transfer *t);
/** Starts a transfer, followed by a layer that can take it as it comes. */
int32_t bring_layers_start(bring *b, ims_transfer *t, int64_t now);
/** Its layer says when it is complete. */
bool bring_layers_takes(const bring *b, const ims_transfer *t);

/* --- bring_commit.c --- */

/** One stage of publishing; IMGSTORE_EAGAIN until the references are set. */
int32_t bring_commit(bring *b);

/* --- the operations: bring.c, load.c --- */

/** options: complete (all fields set, also those of layers), strings borrowed during the call. */
int32_t ims_pull_start(imgstore_operation **op, imgstore_store *store, imgstore_registry *registry,
                       const char *reference, const imgstore_pull_options *options,
                       const imgstore_unpack_options *unpack, ims_error *err);
int32_t ims_load_start(imgstore_operation **op, imgstore_store *store, const char *path,
                       const imgstore_load_options *options, ims_error *err);
/** engine/unpack.c */
int32_t ims_unpack_start(imgstore_operation **op, struct imgstore_image *image, const char *directory,
                         const imgstore_unpack_options *options, ims_error *err);

#endif
