/*
 * registry/url.c (L2) - URL text: parsing, normal form, joining. Knows nothing of sockets or name resolution.
 */
#include "registry/url.h"

#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "registry/net.h"

typedef struct parts {
  bool https;
  const char *authority, *rest; /* rest: path and query, without fragment */
  size_t authority_size, rest_size;
} parts;

static bool split(const char *text, size_t size, parts *p) {
  size_t scheme = 0;
  if (size >= 8 && ims_equal_fold_n(text, 8, "https://", 8))
    scheme = 8;
  else if (size >= 7 && ims_equal_fold_n(text, 7, "http://", 7))
    scheme = 7;
  else
    return false;
  p->https = scheme == 8;
  p->authority = text + scheme;
  p->authority_size = 0;
  while (scheme + p->authority_size < size && !strchr("/?#", p->authority[p->authority_size]))
    p->authority_size++;
  p->rest = p->authority + p->authority_size;
  p->rest_size = size - scheme - p->authority_size;
  const char *fragment = memchr(p->rest, '#', p->rest_size);
  if (fragment)
    p->rest_size = (size_t)(fragment - p->rest);
  return true;
}

/* A host is a bracketed IPv6 address, an IPv4 address in any spelling that resolvers take, or a plain name. */
static bool host_is_valid(const char *host, size_t size) {
  ims_address address;
  if (!size || size > 255)
    return false;
  if (host[0] == '[')
    return ims_address_parse(&address, host, size);
  for (size_t i = 0; i < size; i++)
    if (!ims_is_alnum(host[i]) && !strchr("-._", host[i]))
      return false;
  if (host[0] == '.' || host[size - 1] == '.' || memmem(host, size, "..", 2))
    return false;
  return !ims_host_ends_in_number(host, size) || ims_address_parse(&address, host, size);
}

static bool split_port(const parts *p, size_t *host_size, uint16_t *port) {
  const char *a = p->authority;
  size_t size = p->authority_size, end = 0;
  if (size && a[0] == '[') {
    const char *close = memchr(a, ']', size);
    end = close ? (size_t)(close - a) + 1 : size;
  } else {
    while (end < size && a[end] != ':')
      end++;
  }
  *host_size = end;
  *port = p->https ? 443 : 80;
  if (end == size)
    return true;
  uint64_t number;
  if (a[end] != ':')
    return false;
  if (end + 1 == size)
    return true;
  if (!ims_parse_u64(a + end + 1, size - end - 1, 65535, &number) || !number)
    return false;
  *port = (uint16_t)number;
  return true;
}

static void put_target(ims_buf *out, const char *rest, size_t size) {
  if (!size || rest[0] != '/')
    ims_buf_putc(out, '/');
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)rest[i];
    if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c))
      ims_buf_printf(out, "%%%02X", c);
    else
      ims_buf_putc(out, (char)c);
  }
}

static bool has_control(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
      return true;
  return false;
}

static int32_t bad_url(const char *what, const char *why, ims_error *err) {
  return ims_fail(err, IMGSTORE_EPROTOCOL, "%s: URL %s", what, why);
}

static int32_t finish(ims_url *url, ims_buf *out, ims_error *err) {
  if (out->failed == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  if (out->failed)
    return ims_fail(err, IMGSTORE_EPROTOCOL, "URL is longer than %d bytes", IMS_URL_MAX);
  size_t size;
  url->text = ims_buf_detach(out, &size);
  if (!url->text)
    return ims_fail_nomem(err);
  const char *query = memchr(url->text + url->origin_size, '?', size - url->origin_size);
  url->path_size = (query ? (size_t)(query - url->text) : size) - url->origin_size;
  return IMGSTORE_OK;
}

int32_t ims_url_parse(ims_url *url, const ims_alloc *alloc, const char *text, const char *what, ims_error *err) {
  memset(url, 0, sizeof *url);
  size_t size = strlen(text), host_size;
  parts p;
  if (size > IMS_URL_MAX)
    return bad_url(what, "is too long", err);
  if (has_control(text, size))
    return bad_url(what, "has control characters", err);
  if (!split(text, size, &p))
    return bad_url(what, "is not an absolute http or https one", err);
  if (memchr(p.authority, '@', p.authority_size))
    return bad_url(what, "has a user name", err);
  if (!split_port(&p, &host_size, &url->port))
    return bad_url(what, "has a bad port", err);
  if (host_size && p.authority[host_size - 1] == '.')
    host_size--; /* "example.org." is the same host */
  if (!host_is_valid(p.authority, host_size))
    return bad_url(what, "has a bad host", err);
  ims_buf out;
  ims_buf_init(&out, alloc, 4 * (size_t)IMS_URL_MAX);
  url->https = p.https;
  ims_buf_puts(&out, p.https ? "https://" : "http://");
  url->host_at = out.size;
  url->host_size = host_size;
  for (size_t i = 0; i < host_size; i++)
    ims_buf_putc(&out, ims_ascii_lower(p.authority[i]));
  if (url->port != (p.https ? 443 : 80))
    ims_buf_printf(&out, ":%u", (unsigned)url->port);
  url->origin_size = out.size;
  put_target(&out, p.rest, p.rest_size);
  int32_t rc = finish(url, &out, err);
  ims_buf_free(&out);
  return rc;
}

/* Removes "." and ".." segments (RFC 3986, 5.2.4) from a path that starts with '/', in place; returns its size. */
static size_t remove_dots(char *path, size_t size) {
  size_t out = 0;
  for (size_t i = 0; i < size;) {
    size_t end = i + 1;
    while (end < size && path[end] != '/')
      end++;
    size_t length = end - i - 1;
    bool last = end == size, up = length == 2 && memcmp(path + i, "/..", 3) == 0;
    if (up)
      while (out && path[--out] != '/')
        ;
    if (up || (length == 1 && path[i + 1] == '.')) {
      if (last)
        path[out++] = '/';
    } else {
      memmove(path + out, path + i, end - i);
      out += end - i;
    }
    i = end;
  }
  return out;
}

static void put_relative(ims_buf *out, const ims_url *base, const char *reference) {
  const char *path = base->text + base->origin_size;
  size_t keep = base->path_size, size = strcspn(reference, "?#");
  if (size) {
    while (keep && path[keep - 1] != '/')
      keep--;
    if (reference[0] == '/')
      keep = 0;
  }
  size_t at = out->size;
  ims_buf_append(out, path, keep);
  ims_buf_append(out, reference, size);
  if (!out->failed && size)
    out->size = at + remove_dots(out->data + at, out->size - at);
  if (!out->failed && out->data)
    out->data[out->size] = '\0';
  ims_buf_puts(out, reference + size);
}

static bool has_scheme(const char *reference) {
  size_t i = 0;
  while (ims_is_alnum(reference[i]) || (i && reference[i] && strchr("+-.", reference[i])))
    i++;
  return i && reference[i] == ':';
}

int32_t ims_url_join(ims_url *url, const ims_alloc *alloc, const ims_url *base, const char *reference, const char *what,
                     ims_error *err) {
  memset(url, 0, sizeof *url);
  if (has_scheme(reference))
    return ims_url_parse(url, alloc, reference, what, err);
  if (strlen(reference) > IMS_URL_MAX)
    return bad_url(what, "is too long", err);
  ims_buf out;
  ims_buf_init(&out, alloc, 2 * (size_t)IMS_URL_MAX);
  if (ims_starts_with(reference, "//")) {
    ims_buf_puts(&out, base->https ? "https:" : "http:");
    ims_buf_puts(&out, reference);
  } else {
    ims_buf_append(&out, base->text, base->origin_size);
    put_relative(&out, base, reference);
  }
  int32_t rc = out.failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
               : out.failed                  ? bad_url(what, "is too long", err)
                                             : ims_url_parse(url, alloc, ims_buf_text(&out), what, err);
  ims_buf_free(&out);
  return rc;
}

int32_t ims_url_copy(ims_url *to, const ims_alloc *alloc, const ims_url *from, ims_error *err) {
  *to = *from;
  to->text = ims_strdup(alloc, from->text);
  return to->text ? IMGSTORE_OK : ims_fail_nomem(err);
}

void ims_url_free(const ims_alloc *alloc, ims_url *url) {
  ims_free_secret(alloc, url->text); /* a presigned URL is a credential */
  memset(url, 0, sizeof *url);
}

bool ims_url_same_origin(const ims_url *a, const ims_url *b) {
  return a->origin_size == b->origin_size && memcmp(a->text, b->text, a->origin_size) == 0;
}

bool ims_url_same_host(const ims_url *a, const ims_url *b) {
  return a->host_size == b->host_size && memcmp(a->text + a->host_at, b->text + b->host_at, a->host_size) == 0;
}

size_t ims_url_public_size(const ims_url *url) {
  return url->origin_size + url->path_size;
}

static const char *class_name(int net_class) {
  static const char *const names[] = {"public", "loopback", "private", "link-local"};
  return names[net_class];
}

int32_t ims_url_permit(const ims_url *home, const ims_url *from, const ims_url *target, const char *what,
                       ims_error *err) {
  int size = (int)target->origin_size;
  if (from->https && !target->https)
    return ims_fail(err, IMGSTORE_EPROTOCOL, "%s: %.*s is not https", what, size, target->text);
  if (ims_url_same_host(home, target))
    return IMGSTORE_OK;
  int there = ims_net_class(target->text + target->host_at, target->host_size);
  if (there == IMS_NET_PUBLIC || there == ims_net_class(home->text + home->host_at, home->host_size))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EPROTOCOL, "%s: %.*s is a %s address and the registry is not", what, size, target->text,
                  class_name(there));
}
