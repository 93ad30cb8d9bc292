/*
 * registry/url.h (L2) - absolute http and https URLs: parsing into a normal form, RFC 3986 joining, origins, what kind
 * of address a host is, and the rules for where a registry may send a client.
 *
 * Only literal addresses and names that are local by definition can be told from public ones here: what other names
 * resolve to is known below the transport alone.
 */
#ifndef IMS_REGISTRY_URL_H
#define IMS_REGISTRY_URL_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/error.h"

enum { IMS_URL_MAX = 16 * 1024 };

/** A URL in normal form: lower-case scheme and host, no default port, no user name, no fragment, a path. */
typedef struct ims_url {
  char *text; /**< owned; freed with ims_url_free */
  bool https;
  uint16_t port;             /**< also when it is the default one and not in the text */
  size_t host_at, host_size; /**< in text; an IPv6 host with its brackets */
  size_t origin_size;        /**< text up to the path: scheme, host, port */
  size_t path_size;          /**< from origin_size up to the query or the end */
} ims_url;

enum {
  IMS_NET_PUBLIC = 0,
  IMS_NET_LOOPBACK,
  IMS_NET_PRIVATE,   /**< RFC 1918, RFC 4193, RFC 6598, names without a dot or under .local, .internal, .home.arpa */
  IMS_NET_LINK_LOCAL /**< where clouds keep their metadata services */
};

/** Errors: IMGSTORE_EPROTOCOL (what names the source of the URL in the message), IMGSTORE_ENOMEM. */
int32_t ims_url_parse(ims_url *url, const ims_alloc *alloc, const char *text, const char *what, ims_error *err);
/** Resolves a reference (absolute, //authority, /path, relative, ?query) against base. Errors: as parse. */
int32_t ims_url_join(ims_url *url, const ims_alloc *alloc, const ims_url *base, const char *reference, const char *what,
                     ims_error *err);
int32_t ims_url_copy(ims_url *to, const ims_alloc *alloc, const ims_url *from, ims_error *err);
void ims_url_free(const ims_alloc *alloc, ims_url *url);
bool ims_url_same_origin(const ims_url *a, const ims_url *b);
bool ims_url_same_host(const ims_url *a, const ims_url *b);
/** Length of the text without its query, which may be a secret (presigned URLs): for logs and messages. */
size_t ims_url_public_size(const ims_url *url);
/** IMS_NET_* of a host in normal form (an IPv6 one with or without brackets). */
int ims_net_class(const char *host, size_t size);

/**
 * May a registry at home send its client to target (a redirect from url `from`, or a token realm with from == home)?
 * Never from https to http, and to a private, loopback or link-local address only when the registry is in such a place
 * itself. Errors: IMGSTORE_EPROTOCOL.
 */
int32_t ims_url_permit(const ims_url *home, const ims_url *from, const ims_url *target, const char *what,
                       ims_error *err);

/** True when no_proxy (comma-separated hosts, .domains, addresses, CIDR blocks, "*", each with an optional port) names
 * the URL. */
bool ims_no_proxy_matches(const char *no_proxy, const ims_url *url);

#endif
