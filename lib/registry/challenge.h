/*
 * registry/challenge.h (L2) - WWW-Authenticate (RFC 9110, 11.6.1; RFC 6750, 3): several challenges in one header or in
 * many, quoted strings, token68, stray commas. What cannot be read is skipped, never guessed.
 */
#ifndef IMS_REGISTRY_CHALLENGE_H
#define IMS_REGISTRY_CHALLENGE_H

#include "base/alloc.h"
#include "base/error.h"

enum { IMS_AUTH_NONE = 0, IMS_AUTH_BASIC, IMS_AUTH_BEARER };
enum { IMS_CHALLENGE_MAX = 8, IMS_CHALLENGE_VALUE_MAX = 16 * 1024 };

typedef struct ims_challenge {
  int scheme;                    /**< IMS_AUTH_BASIC or _BEARER */
  char *realm, *service, *scope; /**< unquoted; NULL when absent */
} ims_challenge;

typedef struct ims_challenges {
  size_t count;
  ims_challenge list[IMS_CHALLENGE_MAX];
} ims_challenges;

/** Adds the challenges of one header value of schemes that are known; more than fit are dropped. Errors:
 * IMGSTORE_ENOMEM. */
int32_t ims_challenges_add(ims_challenges *challenges, const ims_alloc *alloc, const char *value, ims_error *err);
/** The one to answer: the first Bearer with a realm, else the first Basic, else NULL. */
const ims_challenge *ims_challenges_choose(const ims_challenges *challenges);
void ims_challenges_free(ims_challenges *challenges, const ims_alloc *alloc);

#endif
