/*
 * engine/publish.h (L4) - the job behind push, and behind copies that end at a registry or in an archive: manifests and
 * blobs of a store or of a registry go to a registry; blobs first, then manifests, children before indexes, the name
 * last.
 *
 * Shared by publish.c (the job), publish_graph.c (what there is to publish), publish_blob.c (one blob),
 * publish_mounts.c (where the registry may have it already), and publish_archive.c (an archive as destination).
 */
#ifndef IMS_ENGINE_PUBLISH_H
#define IMS_ENGINE_PUBLISH_H

#include "engine/job_client.h"
#include "engine/relay.h"
#include "imgstore/publish.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "store/store.h"

typedef struct publish publish;
typedef struct publish_archive publish_archive;

enum { PUBLISH_NEW, PUBLISH_ASKED, PUBLISH_KNOWN, PUBLISH_SENT, PUBLISH_DONE };

/** One manifest or index. */
typedef struct publish_node {
  publish *job;
  const struct publish_node *parent; /**< NULL: the one that the name stands for */
  unsigned depth;
  int state;         /**< PUBLISH_* */
  ims_digest digest; /**< algorithm 0: a tag of the source, not resolved yet */
  uint64_t size;     /**< UINT64_MAX: not known yet */
  char media_type[128];
  imgstore_manifest *manifest;
  struct publish_node **children;
  size_t child_count;
  ims_manifest_push push;
  ims_fetch *fetch;
} publish_node;

/** One blob. */
typedef struct publish_blob {
  publish *job;
  ims_digest digest;
  uint64_t size;
  int32_t object;         /**< IMGSTORE_OBJECT_* */
  const char *media_type; /**< of its descriptor */
  const uint8_t *data;    /**< embedded in its descriptor, or NULL */
  const char *const *urls;
  size_t url_count;
  int state;           /**< PUBLISH_NEW, _SENT, _DONE */
  const char **mounts; /**< borrowed from the job */
  size_t mount_count;
  ims_fetch *fetch;
  ims_blob content; /**< of the store, while it is sent */
  bool open;
  ims_relay *relay; /**< of the registry, while it is sent */
  uint64_t sent, reported;
  int64_t reported_at;
} publish_blob;

struct publish {
  imgstore_operation op; /**< first member */
  imgstore_store *store; /**< the source, or */
  ims_lease lease;
  ims_job_listener listener;
  ims_client *source; /**< the source's client */
  imgstore_reference *from;
  char *name;         /**< what the source is called in messages */
  ims_client *client; /**< the destination's, or */
  imgstore_reference *to;
  imgstore_store *plan;     /**< of a dry run: a store as destination */
  publish_archive *archive; /**< the destination is an archive */
  char *destination;        /**< the name that is given */
  bool all_platforms, dry_run, skip_same;
  ims_platform platform;
  uint64_t chunk;
  int stage;
  int32_t failed;   /**< a callback of a client failed; op.err says how */
  ims_digest there; /**< what the name stands for at the destination; algorithm 0: not known */
  ims_fetch *look;

  publish_node **nodes;
  size_t node_count, node_capacity, nodes_busy;
  publish_node *root; /**< the one that gets the name */
  publish_blob **blobs;
  size_t blob_count, blob_capacity, blobs_done, blobs_busy;
  size_t client_limit; /**< how many blobs the client sends at a time */
  char **places;       /**< repositories at the destination that may have blobs, the caller's first */
  size_t place_count;
};

/** Where things come from and go to; strings and handles are borrowed during the call. */
typedef struct ims_publish_setup {
  imgstore_store *store;       /**< with target, or */
  const ims_target *target;    /**< what is published */
  imgstore_registry *source;   /**< with reference: what is published */
  const char *name;            /**< of the source: the reference, or what the store calls it */
  imgstore_registry *registry; /**< destination, or */
  imgstore_store *plan;        /**< of a dry run: a store as destination */
  const char *archive;         /**< path of an archive as destination, or NULL; with */
  int32_t archive_format;      /**< IMGSTORE_ARCHIVE_*, and */
  bool plain_name;             /**< the name is only a tag of it */
  const char *destination;     /**< a reference of the registry, or a name in the store or archive */
  const char *platform;        /**< with all_platforms false: NULL is this machine's */
  bool all_platforms;
  bool dry_run;
  bool skip_same; /**< do nothing when the destination has that digest under that name */
  uint64_t chunk;
  const char *const *mounts;
  size_t mount_count;
  imgstore_event_fn progress;
  void *progress_data;
} ims_publish_setup;

int32_t ims_publish_start(imgstore_operation **op, const ims_publish_setup *setup, ims_error *err);
/** Pushes what name stands for in the store; options: complete. */
int32_t ims_push_start(imgstore_operation **op, imgstore_store *store, imgstore_registry *registry, const char *name,
                       const imgstore_push_options *options, ims_error *err);

/* --- publish_graph.c --- */

/** Adds a manifest to publish. parent NULL: the one the name stands for. */
int32_t publish_add_node(publish *p, const publish_node *parent, const imgstore_descriptor *descriptor,
                         publish_node **node);
/** Gets to know every manifest; IMGSTORE_OK when all are known. */
int32_t publish_advance_graph(publish *p);
/** Sends manifests whose children are there; IMGSTORE_OK when all are at the destination. */
int32_t publish_advance_manifests(publish *p);
void publish_free_graph(publish *p);

/* --- publish_blob.c --- */

/** Is it there, in whatever condition? */
bool publish_has(imgstore_store *store, const ims_digest *digest);
/** Adds a blob of a manifest, once. */
int32_t publish_add_blob(publish *p, const imgstore_descriptor *descriptor, int32_t object);
/** Advances all blobs; IMGSTORE_OK when they are at the destination. */
int32_t publish_advance_blobs(publish *p, int64_t now);
/** Reads a blob for a destination that takes it piece by piece. *got 0: nothing yet; publish_advance_read goes on. */
int32_t publish_read_blob(publish_blob *blob, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
/** Driver's turn for a blob that is read so. */
int32_t publish_advance_read(publish_blob *blob, int64_t now);
/** Stops a blob that is on its way. */
void publish_end_blob(publish_blob *blob);

/* --- publish_mounts.c --- */

/** A repository that may have any of the blobs. Errors: IMGSTORE_EFORMAT, IMGSTORE_ENOMEM. */
int32_t publish_add_place(publish *p, const char *repository);
/** Sets blob->mounts: repositories of the destination's registry that may have it. */
int32_t publish_find_mounts(publish *p);

/* --- publish_archive.c --- */

/** The destination is the archive path. plain: the name is only a tag of it. */
int32_t publish_set_archive(publish *p, const char *path, int32_t format, bool plain);
/** Writes it, when the graph is known; IMGSTORE_OK when it is there. */
int32_t publish_advance_archive(publish_archive *archive, int64_t now);
/** Milliseconds until its turn although nothing happened; -1: none. */
int32_t publish_archive_timeout(const publish_archive *archive);
/** Stops it: without its end it leaves no file. NULL is accepted, as below. */
void publish_end_archive(publish_archive *archive);
void publish_free_archive(publish_archive *archive);

/** A callback of a client found that the job has failed; op.err is set, or err is copied to it. */
void publish_fail(publish *p, int32_t code, const ims_error *err);
/** Makes room for one more pointer in an array of the job. */
int32_t publish_grow(publish *p, void *array_of_pointers, size_t count, size_t *capacity, size_t limit,
                     const char *what);
/** A line of the job's report. */
int32_t publish_report(publish *p, int32_t kind, const char *name, const char *digest, const char *detail,
                       uint64_t size);

#endif
