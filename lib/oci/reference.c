/*
 * oci/reference.c (L1) - image names: the grammar, the defaults, and the handle. Knows no registry and no store.
 */
#include "oci/reference.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

enum { MAX_NAME = 255, MAX_TAG = 128, MAX_SHOWN = 300 };

static const char hub[] = "docker.io";
static const char hub_alias[] = "index.docker.io";
static const char hub_prefix[] = "library/";

static int shown(size_t size) {
  return size < MAX_SHOWN ? (int)size : MAX_SHOWN;
}

/* domain-component ("." domain-component)*, a component being letters, digits and inner hyphens. */
static bool is_domain(const char *s, size_t size) {
  bool previous_alnum = false;
  for (size_t i = 0; i < size; i++) {
    bool alnum = ims_is_alnum(s[i]);
    if (s[i] == '.' && !previous_alnum)
      return false;
    if (s[i] == '-' && (i == 0 || s[i - 1] == '.'))
      return false;
    if (!alnum && s[i] != '.' && s[i] != '-')
      return false;
    previous_alnum = alnum;
  }
  return previous_alnum;
}

static bool is_ipv6(const char *s, size_t size) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  if (size >= sizeof text)
    return false;
  memcpy(text, s, size);
  text[size] = '\0';
  return strlen(text) == size && inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_port(const char *s, size_t size) {
  uint64_t port;
  return size <= 5 && ims_parse_u64(s, size, UINT16_MAX, &port) && port > 0;
}

int32_t ims_host_check(const char *host, size_t size, ims_error *err) {
  if (size > MAX_NAME)
    return ims_fail(err, IMGSTORE_EFORMAT, "host \"%.*s...\": over %d characters", shown(size), host, MAX_NAME);
  const char *bracket = size && host[0] == '[' ? memchr(host, ']', size) : NULL;
  size_t name_size;
  bool good;
  if (bracket) {
    name_size = (size_t)(bracket - host) + 1;
    good = is_ipv6(host + 1, name_size - 2);
  } else {
    const char *colon = memchr(host, ':', size);
    name_size = colon ? (size_t)(colon - host) : size;
    good = is_domain(host, name_size);
  }
  if (!good)
    return ims_fail(err, IMGSTORE_EFORMAT, "host \"%.*s\": not a host name, IPv4 or [IPv6] address", shown(size), host);
  if (name_size < size && (host[name_size] != ':' || !is_port(host + name_size + 1, size - name_size - 1)))
    return ims_fail(err, IMGSTORE_EFORMAT, "host \"%.*s\": the port is not a number from 1 to 65535", shown(size),
                    host);
  return IMGSTORE_OK;
}

static bool is_path_alnum(char c) {
  return ims_is_digit(c) || (c >= 'a' && c <= 'z');
}

/* Bytes of the separator at s: one period, one or two underscores, or any number of hyphens. */
static size_t separator_size(const char *s, size_t size) {
  size_t n = 0;
  if (s[0] == '-') {
    while (n < size && s[n] == '-')
      n++;
    return n;
  }
  if (s[0] == '_')
    return size > 1 && s[1] == '_' ? 2 : 1;
  return s[0] == '.' ? 1 : 0;
}

static bool is_path_component(const char *s, size_t size) {
  for (size_t i = 0;;) {
    size_t start = i;
    while (i < size && is_path_alnum(s[i]))
      i++;
    if (i == start)
      return false;
    if (i == size)
      return true;
    size_t separator = separator_size(s + i, size - i);
    if (!separator)
      return false;
    i += separator;
  }
}

static bool has_upper(const char *s, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (s[i] >= 'A' && s[i] <= 'Z')
      return true;
  return false;
}

int32_t ims_repository_check(const char *repository, size_t size, ims_error *err) {
  if (!size)
    return ims_fail(err, IMGSTORE_EFORMAT, "the repository name is empty");
  if (size > MAX_NAME)
    return ims_fail(err, IMGSTORE_EFORMAT, "repository \"%.*s...\": over %d characters", MAX_NAME, repository,
                    MAX_NAME);
  if (has_upper(repository, size))
    return ims_fail(err, IMGSTORE_EFORMAT, "repository \"%.*s\": must be lower-case", shown(size), repository);
  for (size_t start = 0; start <= size;) {
    const char *slash = memchr(repository + start, '/', size - start);
    size_t end = slash ? (size_t)(slash - repository) : size;
    if (!is_path_component(repository + start, end - start))
      return ims_fail(err, IMGSTORE_EFORMAT, "repository \"%.*s\": malformed component \"%.*s\"", shown(size),
                      repository, (int)(end - start), repository + start);
    start = end + 1;
  }
  return IMGSTORE_OK;
}

int32_t ims_tag_check(const char *tag, size_t size, ims_error *err) {
  if (!size)
    return ims_fail(err, IMGSTORE_EFORMAT, "the tag is empty");
  if (size > MAX_TAG)
    return ims_fail(err, IMGSTORE_EFORMAT, "tag \"%.*s...\": over %d characters", MAX_TAG, tag, MAX_TAG);
  for (size_t i = 0; i < size; i++)
    if (!ims_is_alnum(tag[i]) && tag[i] != '_' && !(i && (tag[i] == '.' || tag[i] == '-')))
      return ims_fail(err, IMGSTORE_EFORMAT, "tag \"%.*s\": character %zu is not allowed", shown(size), tag, i + 1);
  return IMGSTORE_OK;
}

/* A reference cut into its parts, which point into the caller's text or are constants. */
typedef struct parts {
  const char *host, *prefix, *repository, *tag, *digest;
  size_t host_size, repository_size, tag_size, digest_size; /* tag and digest: NULL when absent */
} parts;

static bool is_host(const char *s, size_t size) {
  return memchr(s, '.', size) || memchr(s, ':', size) || (size == 9 && memcmp(s, "localhost", 9) == 0);
}

static void split(parts *p, const char *text, size_t size) {
  memset(p, 0, sizeof *p);
  const char *at = memchr(text, '@', size);
  size_t end = at ? (size_t)(at - text) : size;
  if (at) {
    p->digest = at + 1;
    p->digest_size = size - end - 1;
  }
  const char *slash = memchr(text, '/', end);
  size_t first = slash ? (size_t)(slash - text) : 0;
  p->host = hub;
  p->host_size = strlen(hub);
  p->repository = text;
  if (slash && is_host(text, first)) {
    p->repository = slash + 1;
    if (!ims_equal_fold_n(text, first, hub, strlen(hub)) &&
        !ims_equal_fold_n(text, first, hub_alias, strlen(hub_alias))) {
      p->host = text;
      p->host_size = first;
    }
  }
  p->repository_size = end - (size_t)(p->repository - text);
  const char *colon = memchr(p->repository, ':', p->repository_size);
  if (colon) {
    p->tag = colon + 1;
    p->tag_size = p->repository_size - (size_t)(p->tag - p->repository);
    p->repository_size = (size_t)(colon - p->repository);
  } else if (!at) {
    p->tag = "latest";
    p->tag_size = strlen(p->tag);
  }
  bool one_component = !memchr(p->repository, '/', p->repository_size);
  p->prefix = p->host == hub && one_component ? hub_prefix : "";
}

static int32_t check(const parts *p, ims_digest *digest, ims_error *err) {
  int32_t rc = ims_host_check(p->host, p->host_size, err);
  if (rc == IMGSTORE_OK)
    rc = ims_repository_check(p->repository, p->repository_size, err);
  if (rc == IMGSTORE_OK && p->tag)
    rc = ims_tag_check(p->tag, p->tag_size, err);
  if (rc == IMGSTORE_OK && p->digest)
    rc = ims_digest_parse(digest, p->digest, p->digest_size, err);
  if (rc != IMGSTORE_OK)
    return rc;
  if (p->host_size + 1 + strlen(p->prefix) + p->repository_size > MAX_NAME)
    return ims_fail(err, IMGSTORE_EFORMAT, "the name is over %d characters", MAX_NAME);
  return IMGSTORE_OK;
}

/* What may stand before the tag in the short name without being read as something else. */
static const char *familiar_name(const char *host, const char *name) {
  if (strcmp(host, hub) != 0)
    return name;
  const char *path = name + strlen(hub) + 1;
  if (ims_starts_with(path, hub_prefix) && !strchr(path + strlen(hub_prefix), '/'))
    return path + strlen(hub_prefix);
  return is_host(path, strcspn(path, "/")) ? name : path;
}

static char *suffixed(const imgstore_reference *r, const char *name) {
  ims_buf text;
  ims_buf_init(&text, &r->alloc, MAX_NAME + MAX_TAG + IMS_DIGEST_TEXT + 2);
  ims_buf_puts(&text, name);
  if (r->tag)
    ims_buf_printf(&text, ":%s", r->tag);
  if (r->digest.algorithm)
    ims_buf_printf(&text, "@%s", r->digest.text);
  char *made = ims_buf_detach(&text, NULL);
  ims_buf_free(&text);
  return made;
}

static bool fill(imgstore_reference *r, const parts *p) {
  ims_buf name;
  ims_buf_init(&name, &r->alloc, MAX_NAME);
  ims_buf_append(&name, p->host, p->host_size);
  ims_buf_putc(&name, '/');
  ims_buf_puts(&name, p->prefix);
  ims_buf_append(&name, p->repository, p->repository_size);
  r->host = ims_strndup(&r->alloc, p->host, p->host_size);
  bool good = !name.failed && r->host;
  if (good && p->tag)
    good = (r->tag = ims_strndup(&r->alloc, p->tag, p->tag_size)) != NULL;
  if (good) {
    const char *full = ims_buf_text(&name);
    r->repository = ims_strdup(&r->alloc, full + p->host_size + 1);
    r->name = suffixed(r, full);
    r->familiar = suffixed(r, familiar_name(r->host, full));
    good = r->repository && r->name && r->familiar;
  }
  ims_buf_free(&name);
  return good;
}

int32_t ims_reference_parse(imgstore_reference **reference, const ims_alloc *alloc, const char *text, ims_error *err) {
  *reference = NULL;
  size_t size = strlen(text);
  if (!size)
    return ims_fail(err, IMGSTORE_EFORMAT, "the image name is empty");
  if (size == 64 && ims_is_lower_hex(text, size))
    return ims_fail(err, IMGSTORE_EFORMAT, "image name \"%s\": 64 hex digits are an image ID, not a name", text);
  parts p;
  ims_digest digest = {0};
  split(&p, text, size);
  int32_t rc = check(&p, &digest, err);
  if (rc != IMGSTORE_OK) {
    ims_error_prefix(err, "image name \"%.*s\"", shown(size), text);
    return rc;
  }
  imgstore_reference *made = ims_calloc(alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  atomic_init(&made->refs, 1);
  made->alloc = *alloc;
  made->digest = digest;
  if (!fill(made, &p)) {
    imgstore_reference_unref(made);
    return ims_fail_nomem(err);
  }
  *reference = made;
  return IMGSTORE_OK;
}

imgstore_reference *imgstore_reference_ref(imgstore_reference *reference) {
  if (reference)
    atomic_fetch_add_explicit(&reference->refs, 1, memory_order_relaxed);
  return reference;
}

void imgstore_reference_unref(imgstore_reference *reference) {
  if (!reference || atomic_fetch_sub_explicit(&reference->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_alloc alloc = reference->alloc;
  char *const strings[] = {reference->host, reference->repository, reference->tag, reference->name,
                           reference->familiar};
  for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
    ims_free(&alloc, strings[i]);
  ims_free(&alloc, reference);
}

const char *imgstore_reference_host(const imgstore_reference *reference) {
  return reference ? reference->host : "";
}

const char *imgstore_reference_repository(const imgstore_reference *reference) {
  return reference ? reference->repository : "";
}

const char *imgstore_reference_tag(const imgstore_reference *reference) {
  return reference ? reference->tag : NULL;
}

const char *imgstore_reference_digest(const imgstore_reference *reference) {
  return reference && reference->digest.algorithm ? reference->digest.text : NULL;
}

const char *imgstore_reference_name(const imgstore_reference *reference) {
  return reference ? reference->name : "";
}

const char *imgstore_reference_familiar(const imgstore_reference *reference) {
  return reference ? reference->familiar : "";
}
