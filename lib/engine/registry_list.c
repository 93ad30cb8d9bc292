/*
 * engine/registry_list.c (L4) - the blocking calls behind registry.h: is the registry there, which tags has a
 * repository.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/report.h"
#include "base/text.h"
#include "engine/registry_fetch.h"
#include "oci/reference.h"
#include "json/json.h"

enum {
  TAGS_PAGE = 1000,
  TAGS_MAX = 1000 * 1000,
  TAGS_BODY_MAX = 16 * 1024 * 1024,
  IDLE_PAGES_MAX = 16, /* pages in a row that bring nothing new */
  CHECK_BODY_MAX = 1 << 20,
  WAIT_MS = 1000
};

static void drive(ims_client *client, const bool *done) {
  while (!*done) {
    ims_client_perform(client, ims_now_ms());
    if (*done)
      break;
    int32_t wait = ims_client_timeout(client, ims_now_ms());
    struct pollfd p = {ims_client_fd(client), POLLIN, 0};
    if (wait)
      poll(&p, p.fd >= 0, wait < 0 || wait > WAIT_MS ? WAIT_MS : wait);
  }
}

/* --- check
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct check {
  bool done;
  int32_t code;
  ims_error err;
} check;

static void on_checked(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  check *c = data;
  c->done = true;
  c->code = code;
  c->err = *err;
}

int32_t ims_registry_check(imgstore_registry *registry, ims_error *err) {
  ims_client *client;
  check c = {false, IMGSTORE_OK, IMS_ERROR_INIT};
  int32_t rc = ims_client_new(&client, registry, NULL, NULL, err);
  if (rc)
    return rc;
  rc = ims_fetch_path(client, "", "/v2/", registry->own->host, CHECK_BODY_MAX, on_checked, &c, NULL, err);
  if (!rc) {
    drive(client, &c.done);
    rc = c.code;
    if (rc && err && !err->code)
      *err = c.err;
  }
  ims_client_free(client);
  return rc;
}

/* --- tags
 * -------------------------------------------------------------------------------------------------------------- */

/* A set of texts by hash; slots hold index + 1 into a list that the owner keeps. */
typedef struct text_set {
  uint32_t *slots;
  size_t capacity, count; /* a power of two */
} text_set;

typedef struct listing {
  ims_client *client;
  imgstore_registry *registry;
  const ims_alloc *alloc;
  const char *repository;
  char *what;
  imgstore_report *tags;
  text_set seen;
  uint64_t seed;
  size_t idle_pages, pages;
  ims_fetch *fetch;
  char *next; /* path and query of the next page, or NULL */
  bool done;
  int32_t code;
  ims_error *err;
} listing;

static uint64_t hash_of(uint64_t seed, const char *text) {
  uint64_t h = seed;
  for (; *text; text++) {
    h = (h ^ (unsigned char)*text) * 0x9fb21c651e98df25u;
    h ^= h >> 29;
  }
  return h ^ (h >> 32);
}

/* The slot of a tag: one that holds it, or the free one where it goes. */
static uint32_t *slot_of(const listing *l, const text_set *set, const char *tag) {
  size_t at = (size_t)hash_of(l->seed, tag) & (set->capacity - 1);
  while (set->slots[at] && strcmp(imgstore_report_name(l->tags, set->slots[at] - 1), tag) != 0)
    at = (at + 1) & (set->capacity - 1);
  return &set->slots[at];
}

static int32_t grow(listing *l) {
  text_set wider = {NULL, l->seen.capacity ? l->seen.capacity * 2 : 1024, 0};
  if (l->seen.capacity && l->seen.count < l->seen.capacity / 2)
    return IMGSTORE_OK;
  wider.slots = ims_calloc(l->alloc, wider.capacity, sizeof *wider.slots);
  if (!wider.slots)
    return ims_fail_nomem(l->err);
  for (size_t i = 0; i < imgstore_report_count(l->tags); i++)
    *slot_of(l, &wider, imgstore_report_name(l->tags, i)) = (uint32_t)i + 1;
  wider.count = imgstore_report_count(l->tags);
  ims_free(l->alloc, l->seen.slots);
  l->seen = wider;
  return IMGSTORE_OK;
}

static int32_t add_tag(listing *l, const char *tag) {
  int32_t rc = grow(l);
  if (rc)
    return rc;
  uint32_t *slot = slot_of(l, &l->seen, tag);
  if (*slot)
    return IMGSTORE_OK;
  if (l->seen.count >= TAGS_MAX)
    return ims_fail(l->err, IMGSTORE_ELIMIT, "%s: more than %d tags", l->what, TAGS_MAX);
  if (ims_report_add(l->tags, IMGSTORE_REPORT_TAG, tag, NULL, NULL, 0, 0) != IMGSTORE_OK)
    return ims_fail_nomem(l->err);
  *slot = (uint32_t)++l->seen.count;
  return IMGSTORE_OK;
}

/* Adds what a page lists; *count is how many it listed. */
static int32_t read_page(listing *l, const ims_document *d, size_t *count, const char **last) {
  ims_json *json;
  *count = 0;
  *last = NULL;
  ims_error why = IMS_ERROR_INIT;
  char quote[IMS_ANSWER_QUOTE_MAX + 1];
  int32_t rc = ims_json_parse(&json, l->alloc, d->data, d->size, l->what, &why);
  if (rc) {
    ims_sanitize(quote, sizeof quote, d->data, d->size < IMS_ANSWER_QUOTE_MAX ? d->size : IMS_ANSWER_QUOTE_MAX);
    return ims_fail(l->err, rc, "%s (%s)", why.message, quote);
  }
  const ims_json_value *tags = ims_json_get(ims_json_root(json), "tags");
  if (ims_json_type(tags) != IMS_JSON_ARRAY && ims_json_type(tags) != IMS_JSON_NULL)
    rc = ims_fail(l->err, IMGSTORE_EFORMAT, "%s: the answer is not a list of tags", l->what);
  for (const ims_json_value *v = rc ? NULL : ims_json_first(tags); v && !rc; v = ims_json_next(v)) {
    const char *tag = ims_json_string(v);
    (*count)++;
    if (!tag || ims_tag_check(tag, strlen(tag), NULL) != IMGSTORE_OK)
      rc = ims_fail(l->err, IMGSTORE_EFORMAT, "%s: the list has something that is not a tag", l->what);
    else
      rc = add_tag(l, tag);
  }
  size_t have = imgstore_report_count(l->tags);
  *last = have ? imgstore_report_name(l->tags, have - 1) : NULL;
  ims_json_free(json);
  return rc;
}

/* Where the next page is: the Link, or after a full page without one, what comes after its last tag. */
static int32_t find_next(listing *l, size_t count, const char *last, bool advanced) {
  ims_reply reply = ims_fetch_reply(l->fetch);
  char *link, text[400];
  ims_url next;
  int32_t rc = ims_link_next(&link, l->alloc, &reply, l->err);
  if (rc)
    return rc;
  if (!link && (count != TAGS_PAGE || !advanced || !last))
    return IMGSTORE_OK;
  snprintf(text, sizeof text, "?n=%d&last=%s", TAGS_PAGE, last ? last : "");
  rc = ims_url_join(&next, l->alloc, &l->fetch->call.base, link ? link : text, l->what, l->err);
  ims_free(l->alloc, link);
  if (rc)
    return rc;
  if (!ims_url_same_origin(&next, &l->fetch->call.base)) {
    rc = ims_fail(l->err, IMGSTORE_EPROTOCOL, "%s: the link to the next page leads to another host", l->what);
  } else if (!(l->next = ims_strdup(l->alloc, next.text + next.origin_size))) {
    rc = ims_fail_nomem(l->err);
  }
  ims_url_free(l->alloc, &next);
  return rc;
}

static void on_page(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  listing *l = data;
  size_t before = imgstore_report_count(l->tags), count;
  const char *last;
  l->done = true;
  l->code = code;
  if (code) {
    *l->err = *err;
    return;
  }
  l->code = read_page(l, document, &count, &last);
  bool advanced = imgstore_report_count(l->tags) > before;
  l->idle_pages = advanced ? 0 : l->idle_pages + 1;
  if (!l->code)
    l->code = find_next(l, count, last, advanced);
  if (!l->code && l->next && (l->idle_pages > IDLE_PAGES_MAX || ++l->pages > TAGS_MAX))
    l->code = ims_fail(l->err, IMGSTORE_EPROTOCOL, "%s: page after page without new tags", l->what);
}

static int32_t fetch_page(listing *l, const char *path) {
  l->done = false;
  int32_t rc = ims_fetch_path(l->client, l->repository, path, l->what, TAGS_BODY_MAX, on_page, l, &l->fetch, l->err);
  if (rc)
    return rc;
  drive(l->client, &l->done);
  return l->code;
}

static int32_t list_pages(listing *l) {
  ims_buf first;
  ims_buf_init(&first, l->alloc, IMS_URL_MAX);
  ims_buf_printf(&first, "/v2/%s/tags/list?n=%d", l->repository, TAGS_PAGE);
  l->next = ims_buf_detach(&first, NULL);
  int32_t rc = l->next ? IMGSTORE_OK : ims_fail_nomem(l->err);
  ims_buf_free(&first);
  while (!rc && l->next) {
    char *path = l->next;
    l->next = NULL;
    rc = fetch_page(l, path);
    ims_free(l->alloc, path);
  }
  ims_free(l->alloc, l->next);
  return rc;
}

int32_t ims_registry_tags(imgstore_registry *registry, const char *repository, imgstore_report *tags, ims_error *err) {
  char what[600];
  ims_error own = IMS_ERROR_INIT;
  const ims_alloc *a = &registry->core->alloc;
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (rc)
    return rc;
  snprintf(what, sizeof what, "%s/%s", registry->own->host, repository);
  listing l = {.registry = registry, .alloc = a, .repository = repository, .what = what, .tags = tags, .err = &own};
  l.seed = (uint64_t)ims_wall_ns() ^ (uint64_t)(uintptr_t)&l;
  rc = ims_client_new(&l.client, registry, NULL, NULL, err);
  if (rc)
    return rc;
  rc = list_pages(&l);
  ims_client_free(l.client);
  ims_free(a, l.seen.slots);
  if (rc && err && !err->code)
    *err = own;
  return rc;
}
