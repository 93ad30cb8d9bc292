/*
 * imgstore/attached.h - what is attached to an image: signatures, SBOMs, provenance, vulnerability reports.
 *
 * Found in every place where such things are kept: the referrers API, its fallback tag (sha256-HEX), cosign's tags
 * (sha256-HEX.sig, .att, .sbom), and BuildKit's attestation manifests beside the image in its index; for an image in a
 * store, the manifests of the store that name it as their subject as well. Nothing that was found is believed: digests
 * and sizes are checked, and a referrer whose subject is another is left out. Whether a signature is good is a matter
 * of policy.h.
 * Sources: distribution-spec 1.1 (referrers), image-spec 1.1 (subject), BuildKit attestation storage, cosign
 * SIGNATURE_SPEC and ATTESTATION_SPEC.
 */
#ifndef IMGSTORE_ATTACHED_H
#define IMGSTORE_ATTACHED_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/report.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A list of attached objects. Shared, immutable; it keeps the registry or store that it came from. */
typedef struct imgstore_attached imgstore_attached;

enum {
  IMGSTORE_ATTACHED_SIGNATURE = 1,
  IMGSTORE_ATTACHED_SBOM_SPDX = 2,
  IMGSTORE_ATTACHED_SBOM_CYCLONEDX = 3,
  IMGSTORE_ATTACHED_PROVENANCE = 4,    /**< SLSA and other in-toto build records */
  IMGSTORE_ATTACHED_VULNERABILITY = 5, /**< SARIF, OpenVEX, CSAF, reports of scanners */
  IMGSTORE_ATTACHED_OTHER = 6
};

enum {
  IMGSTORE_FOUND_REFERRERS = 1, /**< by the registry's referrers API */
  IMGSTORE_FOUND_TAG = 2,       /**< in the fallback tag sha256-HEX */
  IMGSTORE_FOUND_COSIGN = 3,    /**< in a tag of cosign's */
  IMGSTORE_FOUND_INDEX = 4,     /**< beside the image in its index */
  IMGSTORE_FOUND_STORE = 5      /**< a manifest of the store whose subject is the image */
};

typedef struct imgstore_attached_options {
  size_t size;
  uint32_t reserved;         /**< 0 */
  int32_t kind;              /**< only this IMGSTORE_ATTACHED_*; 0: all */
  const char *platform;      /**< "os/arch[/variant]"; NULL: this machine's */
  const char *artifact_type; /**< only manifests of this type; NULL: all */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_attached_options;

/** Fills *options with the defaults. size: sizeof(imgstore_attached_options) of the caller. */
IMGSTORE_API int32_t imgstore_attached_options_init(imgstore_attached_options *options, size_t size);

/**
 * Lists what a registry has for an image: for the manifest of the platform, and for the index that reference names. An
 * object that cannot be read or does not belong to the image is left out with an IMGSTORE_EVENT_WARNING. reference: as
 * for imgstore_pull. options: NULL for defaults.
 * Errors: IMGSTORE_ENOTFOUND (reference, or no manifest for the platform), IMGSTORE_ELIMIT (more than 4096 objects),
 * and as for imgstore_pull.
 */
IMGSTORE_API int32_t imgstore_attached_list(imgstore_registry *registry, const char *reference,
                                            const imgstore_attached_options *options, imgstore_attached **list,
                                            imgstore_error **error);
/** The same as an operation; imgstore_operation_attached gives the list. */
IMGSTORE_API int32_t imgstore_attached_list_start(imgstore_registry *registry, const char *reference,
                                                  const imgstore_attached_options *options,
                                                  imgstore_operation **operation, imgstore_error **error);
/** Lists what a store has for one of its images. Blocks; reads manifests only. name and errors: as for
 * imgstore_store_image. */
IMGSTORE_API int32_t imgstore_attached_list_store(imgstore_store *store, const char *name,
                                                  const imgstore_attached_options *options, imgstore_attached **list,
                                                  imgstore_error **error);
/** The list that a finished imgstore_attached_list_start made, with a reference of the caller's own, or NULL. */
IMGSTORE_API imgstore_attached *imgstore_operation_attached(const imgstore_operation *operation);

/** Adds one owner. Returns its argument. */
IMGSTORE_API imgstore_attached *imgstore_attached_ref(imgstore_attached *list);
/** Drops one owner. */
IMGSTORE_API void imgstore_attached_unref(imgstore_attached *list);
/** The digest of the manifest that the list is about: the platform's. */
IMGSTORE_API const char *imgstore_attached_target(const imgstore_attached *list);
/** How many objects there are. */
IMGSTORE_API size_t imgstore_attached_count(const imgstore_attached *list);
/** What object i is, one of IMGSTORE_ATTACHED_*; 0 when out of range. */
IMGSTORE_API int32_t imgstore_attached_kind(const imgstore_attached *list, size_t i);
/** Where object i was found, one of IMGSTORE_FOUND_*; 0 when out of range. */
IMGSTORE_API int32_t imgstore_attached_found(const imgstore_attached *list, size_t i);
/** The size in bytes of the content of object i. */
IMGSTORE_API uint64_t imgstore_attached_size(const imgstore_attached *list, size_t i);

enum {
  IMGSTORE_ATTACHED_DIGEST = 1,         /**< of the content */
  IMGSTORE_ATTACHED_MEDIA_TYPE = 2,     /**< of the content */
  IMGSTORE_ATTACHED_ARTIFACT_TYPE = 3,  /**< of its manifest; "" when it has none */
  IMGSTORE_ATTACHED_PREDICATE_TYPE = 4, /**< what an in-toto attestation says, as its annotations tell, or "" */
  IMGSTORE_ATTACHED_MANIFEST = 5,       /**< digest of its manifest */
  IMGSTORE_ATTACHED_SUBJECT = 6,        /**< digest of what it is attached to: the platform's manifest, or an index */
  IMGSTORE_ATTACHED_TITLE = 7           /**< its file name (org.opencontainers.image.title), or "" */
};
/**
 * A field of object i as text; "" when out of range. Never NULL. Text from the registry: a title is never a path to
 * write to unchecked, and nothing here is safe to print to a terminal unescaped.
 */
IMGSTORE_API const char *imgstore_attached_text(const imgstore_attached *list, size_t i, int32_t field);
/** How many annotations object i has: those of its content, then those of its manifest. */
IMGSTORE_API size_t imgstore_attached_annotation_count(const imgstore_attached *list, size_t i);
/** Key and value of annotation n of object i. Errors: IMGSTORE_EINVALID when i or n is out of range. */
IMGSTORE_API int32_t imgstore_attached_annotation(const imgstore_attached *list, size_t i, size_t n, const char **key,
                                                  const char **value);
/**
 * Fetches the content of object i: bytes that hash to its digest, or an error. Blocks. max_bytes: the most that is
 * taken into memory. Errors: IMGSTORE_EINVALID (i), IMGSTORE_ELIMIT, IMGSTORE_ENOTFOUND, IMGSTORE_EDIGEST,
 * IMGSTORE_ENOMEM, network.
 */
IMGSTORE_API int32_t imgstore_attached_read(const imgstore_attached *list, size_t i, uint64_t max_bytes,
                                            imgstore_bytes **bytes, imgstore_error **error);

/** An object in the making, to be attached to an image. Single owner. */
typedef struct imgstore_attachment imgstore_attachment;

/**
 * Begins an object. artifact_type: what it is, a media type such as "application/spdx+json".
 * Errors: IMGSTORE_EINVALID (no media type), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_attachment_new(imgstore_context *context, const char *artifact_type,
                                             imgstore_attachment **attachment, imgstore_error **error);
/**
 * Adds a file, which is hashed now and read again when it is sent: it must stay as it is. It is kept open. media_type:
 * NULL: the artifact type. title: its name for who fetches it, NULL: the last component of path, "": none.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EACCESS, IMGSTORE_EFORMAT (not a file), IMGSTORE_EIO, IMGSTORE_EINVALID,
 * IMGSTORE_ELIMIT (more than 1000), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_attachment_add_file(imgstore_attachment *attachment, const char *path,
                                                  const char *media_type, const char *title, imgstore_error **error);
/** Adds bytes, which are copied. The rest as imgstore_attachment_add_file; title NULL: none. */
IMGSTORE_API int32_t imgstore_attachment_add_bytes(imgstore_attachment *attachment, const void *data, size_t size,
                                                   const char *media_type, const char *title, imgstore_error **error);
/** Sets an annotation of the object's manifest; they are listed beside it without fetching it. Errors:
    IMGSTORE_EINVALID (empty key, set before), IMGSTORE_ELIMIT, IMGSTORE_ENOMEM. */
IMGSTORE_API int32_t imgstore_attachment_annotate(imgstore_attachment *attachment, const char *key, const char *value,
                                                  imgstore_error **error);
/** Frees an object in the making; an operation keeps what it needs. */
IMGSTORE_API void imgstore_attachment_free(imgstore_attachment *attachment);

typedef struct imgstore_attach_options {
  size_t size;
  uint32_t flags;       /**< 0 */
  uint32_t reserved;    /**< 0 */
  const char *platform; /**< attach to the manifest of this platform; NULL: to what the name stands for, index or not */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_attach_options;

/** Fills *options with the defaults. size: sizeof(imgstore_attach_options) of the caller. */
IMGSTORE_API int32_t imgstore_attach_options_init(imgstore_attach_options *options, size_t size);
/**
 * Attaches an object to an image of a registry: sends its content, then a manifest whose subject is the image
 * (image-spec 1.1). Where the registry keeps no list of referrers the fallback tag sha256-HEX is changed: read, added
 * to, written, and read again until the entry stays, since other writers may be at it and a registry has no
 * compare-and-set. The same object attached again changes nothing. reference: as for imgstore_pull; options: NULL for
 * defaults. report, when wanted: one IMGSTORE_REPORT_PUBLISHED line with the manifest. The attachment may be used again
 * after the call; the other face keeps it busy until its operation is freed.
 * Errors: IMGSTORE_ENOTFOUND (the image), IMGSTORE_EINVALID (nothing was added and there is no annotation),
 * IMGSTORE_EDENIED, IMGSTORE_EDIGEST (a file was changed), IMGSTORE_ECONFLICT (something else has the fallback tag, or
 * other writers do not let it settle), IMGSTORE_EBUSY, and as for imgstore_pull.
 */
IMGSTORE_API int32_t imgstore_attach(imgstore_registry *registry, const char *reference,
                                     imgstore_attachment *attachment, const imgstore_attach_options *options,
                                     imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the line. */
IMGSTORE_API int32_t imgstore_attach_start(imgstore_registry *registry, const char *reference,
                                           imgstore_attachment *attachment, const imgstore_attach_options *options,
                                           imgstore_operation **operation, imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
