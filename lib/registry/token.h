/*
 * registry/token.h (L2) - the token flow's messages: scope sets, the two token requests, the token answer, and the
 * Authorization values. Holds no state; what it makes is secret and belongs to the caller.
 */
#ifndef IMS_REGISTRY_TOKEN_H
#define IMS_REGISTRY_TOKEN_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "registry/challenge.h"

enum { IMS_TOKEN_FLOOR_MS = 60 * 1000, IMS_TOKEN_BODY_MAX = 1 << 20 };

/** What a client may present. Borrowed strings; all NULL: anonymous. */
typedef struct ims_secret {
  const char *username, *password;
  const char *identity_token;
} ims_secret;

/**
 * A scope set is text: scopes separated by single spaces, each once. Puts demanded (of a challenge, or NULL) before
 * what have holds. Errors: IMGSTORE_ENOMEM, IMGSTORE_ELIMIT (a set over 8 KiB).
 */
int32_t ims_scope_merge(char **merged, const ims_alloc *alloc, const char *demanded, const char *have, ims_error *err);
/** True when both sets have the same scopes in any order. */
bool ims_scope_equal(const char *a, const char *b);

/** realm?service=...&scope=...&account=...: the URL of a GET. scopes may be NULL or "". */
int32_t ims_token_url(char **url, const ims_alloc *alloc, const ims_challenge *challenge, const char *scopes,
                      const ims_secret *secret, ims_error *err);
/** The form body of the POST that trades an identity token (secret: wipe it). */
int32_t ims_token_form(ims_buf *body, const ims_challenge *challenge, const char *scopes, const ims_secret *secret,
                       ims_error *err);
/** A status of the POST after which the GET is tried: this realm does not know the POST. */
bool ims_token_post_unknown(int32_t status);

typedef struct ims_token {
  char *text;          /**< freed with ims_free_secret */
  int64_t lifetime_ms; /**< after the floor; use it for less than that */
} ims_token;
/** Reads `token` or `access_token` and `expires_in`. what names the realm. Errors: IMGSTORE_EPROTOCOL, IMGSTORE_ENOMEM.
 */
int32_t ims_token_parse(ims_token *token, const ims_alloc *alloc, const char *body, size_t size, const char *what,
                        ims_error *err);

/**
 * What a token says that it allows on a repository: the "access" of a JWT's payload, read without checking the
 * signature, which is the registry's to do. *rights: IMGSTORE_ACCESS_*. False when the token does not tell.
 */
bool ims_token_rights(const char *token, const ims_alloc *alloc, const char *repository, uint32_t *rights);

/** "Basic ..." of a user name and password, or of "<token>" and the identity token. NULL in *value when secret is
 * empty. */
int32_t ims_basic_value(char **value, const ims_alloc *alloc, const ims_secret *secret, ims_error *err);
/** "Bearer ..." */
int32_t ims_bearer_value(char **value, const ims_alloc *alloc, const char *token, ims_error *err);

#endif
