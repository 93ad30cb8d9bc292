/*
 * registry/answer.h (L2) - what a refusal says: HTTP status and the registry's error document turned into an error.
 */
#ifndef IMS_REGISTRY_ANSWER_H
#define IMS_REGISTRY_ANSWER_H

#include "base/alloc.h"
#include "base/error.h"

enum { IMS_ANSWER_BODY_MAX = 1 << 20, IMS_ANSWER_QUOTE_MAX = 512 };

/** Texts that must not appear in a message even when a server sends them back; entries may be NULL. */
typedef struct ims_secrets {
  const char *text[4];
} ims_secrets;

/**
 * Sets err from a response that is not what was asked for. what: the object; host: who answered. Of the body at most
 * IMS_ANSWER_QUOTE_MAX bytes are quoted, none when it holds one of the secrets. Returns the code.
 */
int32_t ims_answer_error(const ims_alloc *alloc, int32_t status, const char *body, size_t size, const char *what,
                         const char *host, const ims_secrets *secrets, ims_error *err);

#endif
