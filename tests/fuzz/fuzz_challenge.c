/*
 * tests/fuzz/fuzz_challenge.c - the texts of headers that a registry sends: challenges, links, ranges, dates, warnings,
 * token answers, Location.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "registry/challenge.h"
#include "registry/fields.h"
#include "registry/retry.h"
#include "registry/token.h"
#include "registry/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *field(const void *source, const char *name, size_t nth) {
  return nth ? NULL : source;
}

static void try_challenge(const ims_alloc *a, const char *text) {
  const ims_secret nobody = {NULL, NULL, NULL};
  ims_challenges list = {.count = 0};
  char *out;
  ims_challenges_add(&list, a, text, NULL);
  ims_challenges_add(&list, a, text, NULL);
  const ims_challenge *c = ims_challenges_choose(&list);
  if (c && c->realm && ims_token_url(&out, a, c, c->scope, &nobody, NULL) == IMGSTORE_OK)
    ims_free(a, out);
  if (c && ims_scope_merge(&out, a, c->scope, "repository:a:pull", NULL) == IMGSTORE_OK) {
    if (!ims_scope_equal(out, out))
      abort();
    ims_free(a, out);
  }
  ims_challenges_free(&list, a);
}

/* Whatever is accepted is its own normal form. */
static void try_url(const ims_alloc *a, const char *text) {
  ims_url base, url, again;
  if (ims_url_parse(&base, a, "https://r.example/v2/a/b?c", "x", NULL) != IMGSTORE_OK)
    return;
  if (ims_url_join(&url, a, &base, text, "x", NULL) == IMGSTORE_OK) {
    if (strpbrk(url.text, " \r\n\t\"<>") || ims_url_public_size(&url) > strlen(url.text))
      abort();
    ims_url_permit(&base, &base, &url, "x", NULL);
    ims_no_proxy_matches(text, &url);
    if (ims_url_parse(&again, a, url.text, "x", NULL) == IMGSTORE_OK) {
      if (strcmp(url.text, again.text) != 0 || !ims_url_same_origin(&url, &again))
        abort();
      ims_url_free(a, &again);
    } else if (strlen(url.text) <= IMS_URL_MAX) {
      abort();
    }
    ims_url_free(a, &url);
  }
  ims_url_free(a, &base);
}

static void try_fields(const ims_alloc *a, const char *text) {
  const ims_reply reply = {200, text, field};
  uint64_t x, y, z;
  int64_t when;
  uint32_t delay;
  char warning[64], *out;
  ims_digest digest;
  ims_content_range(text, &x, &y, &z);
  ims_reply_length(&reply, &x);
  ims_reply_digest(&reply, &digest);
  ims_reply_is_plain(&reply);
  ims_rate_value(text, &x);
  ims_warning_text(text, warning, sizeof warning);
  ims_http_date(text, &when);
  ims_retry_after(text, 1700000000, 60000, &delay);
  if (ims_reply_media_type(&out, a, &reply, NULL) == IMGSTORE_OK)
    ims_free(a, out);
  if (ims_link_next(&out, a, &reply, NULL) == IMGSTORE_OK)
    ims_free(a, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const ims_alloc *a = &ims_alloc_default;
  ims_token token;
  uint32_t rights;
  char *text = ims_strndup(a, (const char *)data, size);
  if (!text)
    return 0;
  try_challenge(a, text);
  try_url(a, text);
  try_fields(a, text);
  if (ims_token_parse(&token, a, text, size, "x", NULL) == IMGSTORE_OK)
    ims_free_secret(a, token.text);
  if (ims_token_rights(text, a, "a/b", &rights) && (rights & ~7u))
    abort();
  ims_free(a, text);
  return 0;
}
