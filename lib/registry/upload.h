/*
 * registry/upload.h (L2) - the state machine of one blob on its way to a registry (distribution-spec, "Pushing Blobs"):
 * is it there, can it be mounted, in one piece or in chunks, and what became of an upload that was cut. Takes
 * responses, says what to send; sends nothing and never sees the content.
 *
 * Driver's loop: ims_upload_next tells the request (its URL is call->at; Authorization only when the URL is on the
 * registry's own origin); the end of the response goes to ims_upload_answer, a failure without one to
 * ims_upload_broken, which say what is next.
 */
#ifndef IMS_REGISTRY_UPLOAD_H
#define IMS_REGISTRY_UPLOAD_H

#include "oci/digest.h"
#include "registry/call.h"

/** What to bring where. Strings are borrowed. */
typedef struct ims_upload_plan {
  ims_digest digest;
  uint64_t size;
  const char *const *mounts; /**< repositories of the same registry that may have it, tried in order; checked */
  size_t mount_count;
  uint64_t chunk; /**< bytes of a chunk; 0: in one piece, as long as the registry takes it */
  bool absent;    /**< known not to be there: not asked for first */
  bool look;      /**< only find out whether it is there */
} ims_upload_plan;

/** How it ended. */
enum { IMS_UPLOAD_SENT = 1, IMS_UPLOAD_EXISTS, IMS_UPLOAD_MOUNTED, IMS_UPLOAD_ABSENT };

/** In addition to the IMS_NEXT_* of call.h: the upload is over, see outcome. */
enum { IMS_NEXT_DONE = 100 };

typedef struct ims_upload {
  ims_call *call; /**< its home is the registry's /v2/<repository>/blobs/uploads/ */
  ims_upload_plan plan;
  int step;
  bool follow;     /**< call->at is where a redirect led: the step's own URL is not taken */
  size_t mount;    /**< the candidate that is tried */
  ims_url session; /**< the Location of the upload; text NULL: none */
  uint64_t offset; /**< bytes that the registry has confirmed in this session */
  uint64_t best;   /**< most that it ever confirmed: what counts as progress */
  uint64_t chunk;  /**< 0: in one piece */
  uint64_t least;  /**< OCI-Chunk-Min-Length */
  uint64_t end;    /**< of the part that was sent last */
  bool resumed;    /**< the session has what an interrupted request left */
  bool lost;       /**< the last request may have completed the blob: look before it is sent again */
  int outcome;     /**< IMS_UPLOAD_* */
} ims_upload;

/** One request. */
typedef struct ims_upload_ask {
  const char *method;
  uint64_t from, size; /**< the part of the blob that is its body */
  char range[48];      /**< Content-Range, or "" */
  const char *source;  /**< repository that the request reads from as well, or NULL */
} ims_upload_ask;

/** call: aimed at the registry; borrowed as long as the upload lives. */
void ims_upload_init(ims_upload *upload, ims_call *call, const ims_upload_plan *plan);
void ims_upload_free(ims_upload *upload);
/** The next request: points call at its URL. Errors: IMGSTORE_ENOMEM, IMGSTORE_EPROTOCOL (a URL that grew too long). */
int32_t ims_upload_next(ims_upload *upload, ims_upload_ask *ask, ims_error *err);
/** After a response, whatever its status. err gets the reason, also when the verdict is to try again. */
void ims_upload_answer(ims_upload *upload, const ims_reply *reply, const char *body, size_t size,
                       const ims_secrets *secrets, int64_t wall_s, ims_verdict *verdict, ims_error *err);
/** After a failure of the transport or a time limit: what the next try begins with. The verdict is ims_call_broken's.
 */
void ims_upload_broken(ims_upload *upload);
/** The registry wants credentials that there are not. True when there is another way: the next request is another. */
bool ims_upload_unauthorized(ims_upload *upload);

#endif
