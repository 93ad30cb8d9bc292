/*
 * registry/call.h (L2) - the state machine of one request to a registry: where it goes next after a redirect, a
 * refusal, a cut or a wrong range, when it is tried again and when it is given up. Takes responses, says what to do;
 * sends nothing.
 *
 * Driver's loop: ims_call_aim; then send a request to call->at (with Authorization only when ims_call_may_authorize,
 * with the Range that ims_call_range gives), feed the response's head to ims_call_head, and its end to ims_call_answer
 * or ims_call_broken, which say what is next.
 */
#ifndef IMS_REGISTRY_CALL_H
#define IMS_REGISTRY_CALL_H

#include <stdbool.h>

#include "registry/answer.h"
#include "registry/fields.h"
#include "registry/retry.h"
#include "registry/url.h"

enum { IMS_CALL_EXPECTS_MAX = 8 };

typedef struct ims_call_limits {
  uint32_t max_redirects;
  uint32_t retries, retry_delay, max_retry_delay;
} ims_call_limits;

typedef struct ims_call {
  const ims_alloc *alloc;
  const char *what; /**< names the object in messages; borrowed */
  ims_call_limits limits;
  ims_backoff backoff;
  bool ranged;  /**< a blob: resumed by ranges; size is known */
  bool fixed;   /**< no redirects: the request has a secret body */
  bool changes; /**< not a GET or HEAD: a 303, which asks for a GET, is not followed */
  bool once;    /**< what the request does must not be done twice: tried again only after a 429 */
  int32_t expects[IMS_CALL_EXPECTS_MAX]; /**< the statuses that are a success, up to a 0; none: 200 and 206 */
  uint64_t size;                         /**< when ranged */
  ims_url home;                          /**< the registry: what redirects are judged by */
  ims_url base;                          /**< where every try starts */
  ims_url at;                            /**< where the next request goes */
  uint32_t redirects;
  bool no_range;       /**< ranges do not work here: start over and skip */
  bool asked;          /**< the request carries a range */
  uint64_t asked_from; /**< position when it was made */
  uint64_t skip;       /**< after CONTENT: bytes of the body to throw away */
} ims_call;

enum { IMS_HEAD_CONTENT = 1, IMS_HEAD_COLLECT, IMS_HEAD_STOP };
enum { IMS_NEXT_SEND = 1, IMS_NEXT_AUTHORIZE, IMS_NEXT_WAIT, IMS_NEXT_FAIL };

typedef struct ims_verdict {
  int next;          /**< IMS_NEXT_* */
  uint32_t delay_ms; /**< of WAIT */
  bool hold_host;    /**< of WAIT: nothing else may go to the host of the request that was answered before that */
} ims_verdict;

/** what is borrowed. seed: of the back-off's jitter. */
void ims_call_init(ims_call *call, const ims_alloc *alloc, const char *what, const ims_call_limits *limits,
                   uint64_t seed);
void ims_call_free(ims_call *call);
/** Points at a (new) place and forgets what was learnt about the last one. Copies. Errors: IMGSTORE_ENOMEM. */
int32_t ims_call_aim(ims_call *call, const ims_url *home, const ims_url *base, ims_error *err);
/** True when the next request stays on the origin that credentials are for. */
bool ims_call_may_authorize(const ims_call *call);
/** Notes where the next request resumes and writes its Range value; false when it carries none. */
bool ims_call_range(ims_call *call, uint64_t position, char *out, size_t capacity);
/** Bytes came that were not there before. */
void ims_call_progress(ims_call *call);
/** What the body is: CONTENT (wanted), COLLECT (of a refusal or redirect), STOP (not wanted: judge without it). */
int ims_call_head(ims_call *call, const ims_reply *reply);
/** After COLLECT or STOP. err gets the reason, also when the verdict is to try again. */
void ims_call_answer(ims_call *call, const ims_reply *reply, const char *body, size_t size, const ims_secrets *secrets,
                     int64_t wall_s, ims_verdict *verdict, ims_error *err);
/** After a failure of the transport, a time limit, or a body that ended early. message: what happened. */
void ims_call_broken(ims_call *call, int32_t code, const char *message, bool retry, ims_verdict *verdict,
                     ims_error *err);

/* --- parts of the decisions, for machines that make others with the same budget (upload.h) ------------------------ */

/** As ims_call_aim, but what was learnt stays: the next request of several that share one budget. */
int32_t ims_call_point(ims_call *call, const ims_url *base, ims_error *err);
/** Goes where a redirect leads, with the same method. False: the answer is none. */
bool ims_call_redirect(ims_call *call, const ims_reply *reply, ims_verdict *verdict, ims_error *err);
/** After a status that may pass (retry.h): waits as the back-off or the answer says, or fails. */
void ims_call_pass(ims_call *call, const ims_reply *reply, int64_t wall_s, ims_verdict *verdict, ims_error *err);
/** A try again whose cause is known and gone: the first one at once. */
void ims_call_try_now(ims_call *call, ims_verdict *verdict, ims_error *err);
/** Who answers the next request, for messages. */
void ims_call_host(const ims_call *call, char *out, size_t capacity);

#endif
