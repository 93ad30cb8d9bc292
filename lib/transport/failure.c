/*
 * transport/failure.c (L3) - turns what a TLS library or libcurl says about a failure into a decision and a message.
 *
 * Owns: the rule that a message never carries more of a URL than host and port. It knows no error code of anybody.
 */
#include "transport/failure.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

static bool has_any(const char *text, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcasestr(text, words[i]))
      return true;
  return false;
}

bool ims_failure_is_not_tls(const char *text) {
  static const char *const words[] = {"wrong version number",  "packet length too long",
                                      "unexpected TLS packet", "record packet with illegal version",
                                      "invalid SSL record",    "http request"};
  return !ims_failure_is_alert(text) && has_any(text, words, sizeof words / sizeof *words);
}

bool ims_failure_is_cut(const char *text) {
  static const char *const words[] = {"SSL_ERROR_SYSCALL", "reset by peer",           "unexpected eof",
                                      "broken pipe",       "not properly terminated", "connection was closed"};
  return has_any(text, words, sizeof words / sizeof *words);
}

bool ims_failure_is_alert(const char *text) {
  static const char *const words[] = {" alert ", "fatal alert"};
  return has_any(text, words, sizeof words / sizeof *words);
}

/* HOST:PORT of a URL, without user and password. */
static size_t authority(const char *url, const char **start) {
  const char *scheme = strstr(url, "://");
  *start = scheme ? scheme + 3 : url;
  size_t size = strcspn(*start, "/?#\\");
  for (size_t i = size; i > 0; i--)
    if ((*start)[i - 1] == '@') {
      *start += i;
      return size - i;
    }
  return size;
}

void ims_failure_message(char *out, size_t capacity, const char *url, const char *prefix, const char *detail,
                         const char *plain) {
  const char *host;
  size_t size = authority(url, &host);
  if (!*detail || strstr(detail, "://") || strpbrk(detail, "?@"))
    detail = plain;
  snprintf(out, capacity, "%.*s: %s%s", size > 128 ? 128 : (int)size, host, prefix, detail);
}

bool ims_header_is_valid(const char *name, const char *value) {
  if (!name || !value || !*name)
    return false;
  for (const char *c = name; *c; c++)
    if (!ims_is_alnum(*c) && !strchr("!#$%&'*+-.^_`|~", *c))
      return false;
  for (const char *c = value; *c; c++)
    if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
      return false;
  return true;
}
