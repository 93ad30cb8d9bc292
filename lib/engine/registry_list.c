/*
 * engine/registry_list.c (L4) - listings: the tags of a repository, the repositories of a registry. Pages are followed
 * by Link or by what came last; names are checked, and each is reported once.
 */
#include <stdio.h>
#include <string.h>

#include "engine/registry_fetch.h"
#include "engine/registry_job.h"
#include "oci/reference.h"
#include "json/json.h"

enum {
  NAMES_MAX = 1000 * 1000,
  PAGE_BODY_MAX = 16 * 1024 * 1024,
  IDLE_PAGES_MAX = 16 /* pages in a row that bring nothing new */
};

/* How many names are asked for in one page, until the registry accepts it; 0: as many as it likes. */
static const int page_sizes[] = {1000, 100, 0};
enum { PAGE_SIZES = sizeof page_sizes / sizeof *page_sizes };

/* What is listed. */
typedef struct list_kind {
  const char *path; /* after "/v2/" and the repository */
  const char *key;  /* of the array in a page */
  const char *one, *many;
  int32_t line;
  int32_t (*check)(const char *name, size_t size, ims_error *err);
} list_kind;

static const list_kind kind_tags = {"/tags/list", "tags", "tag", "tags", IMGSTORE_REPORT_TAG, ims_tag_check};
static const list_kind kind_catalog = {
    "_catalog", "repositories", "repository", "repositories", IMGSTORE_REPORT_REPOSITORY, ims_repository_check};

/* A set of texts by hash; slots hold index + 1 into the report. */
typedef struct text_set {
  uint32_t *slots;
  size_t capacity, count; /* a power of two */
} text_set;

typedef struct list_job {
  ims_registry_job base; /* first member */
  const list_kind *kind;
  char *repository; /* "": of the whole registry */
  char *what;
  text_set seen;
  uint64_t seed;
  size_t page, idle_pages, pages; /* page: in page_sizes */
  char *next;                     /* path and query of the next page, or NULL */
} list_job;

static const ims_alloc *alloc_of(const list_job *l) {
  return &l->base.op.core->alloc;
}

static imgstore_report *names_of(const list_job *l) {
  return l->base.op.report;
}

static uint64_t hash_of(uint64_t seed, const char *text) {
  uint64_t h = seed;
  for (; *text; text++) {
    h = (h ^ (unsigned char)*text) * 0x9fb21c651e98df25u;
    h ^= h >> 29;
  }
  return h ^ (h >> 32);
}

/* The slot of a name: one that holds it, or the free one where it goes. */
static uint32_t *slot_of(const list_job *l, const text_set *set, const char *name) {
  size_t at = (size_t)hash_of(l->seed, name) & (set->capacity - 1);
  while (set->slots[at] && strcmp(imgstore_report_name(names_of(l), set->slots[at] - 1), name) != 0)
    at = (at + 1) & (set->capacity - 1);
  return &set->slots[at];
}

static int32_t grow(list_job *l) {
  text_set wider = {NULL, l->seen.capacity ? l->seen.capacity * 2 : 1024, 0};
  if (l->seen.capacity && l->seen.count < l->seen.capacity / 2)
    return IMGSTORE_OK;
  wider.slots = ims_calloc(alloc_of(l), wider.capacity, sizeof *wider.slots);
  if (!wider.slots)
    return ims_fail_nomem(&l->base.op.err);
  for (size_t i = 0; i < imgstore_report_count(names_of(l)); i++)
    *slot_of(l, &wider, imgstore_report_name(names_of(l), i)) = (uint32_t)i + 1;
  wider.count = imgstore_report_count(names_of(l));
  ims_free(alloc_of(l), l->seen.slots);
  l->seen = wider;
  return IMGSTORE_OK;
}

static int32_t add_name(list_job *l, const char *name) {
  int32_t rc = grow(l);
  if (rc)
    return rc;
  uint32_t *slot = slot_of(l, &l->seen, name);
  if (*slot)
    return IMGSTORE_OK;
  if (l->seen.count >= NAMES_MAX)
    return ims_fail(&l->base.op.err, IMGSTORE_ELIMIT, "%s: more than %d %s", l->what, NAMES_MAX, l->kind->many);
  rc = ims_registry_job_report(&l->base, l->kind->line, name, NULL, NULL, 0);
  if (!rc)
    *slot = (uint32_t)++l->seen.count;
  return rc;
}

static int32_t not_json(list_job *l, int32_t code, const ims_document *d, const ims_error *why) {
  char quote[IMS_ANSWER_QUOTE_MAX + 1];
  ims_sanitize(quote, sizeof quote, d->data, d->size < IMS_ANSWER_QUOTE_MAX ? d->size : IMS_ANSWER_QUOTE_MAX);
  return ims_fail(&l->base.op.err, code, "%s (%s)", why->message, quote);
}

static int32_t read_name(list_job *l, const char *name) {
  if (!name || l->kind->check(name, strlen(name), NULL) != IMGSTORE_OK)
    return ims_fail(&l->base.op.err, IMGSTORE_EFORMAT, "%s: the list has something that is not a %s", l->what,
                    l->kind->one);
  return add_name(l, name);
}

/* Adds what a page lists; *count is how many it listed. */
static int32_t read_page(list_job *l, const ims_document *d, int *count) {
  ims_json *json;
  *count = 0;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_json_parse(&json, alloc_of(l), d->data, d->size, l->what, &why);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(&l->base.op.err) : not_json(l, rc, d, &why);
  const ims_json_value *names = ims_json_get(ims_json_root(json), l->kind->key);
  if (ims_json_type(names) != IMS_JSON_ARRAY && ims_json_type(names) != IMS_JSON_NULL)
    rc = ims_fail(&l->base.op.err, IMGSTORE_EFORMAT, "%s: the answer is not a list of %s", l->what, l->kind->many);
  for (const ims_json_value *v = rc ? NULL : ims_json_first(names); v && !rc; v = ims_json_next(v)) {
    (*count)++;
    rc = read_name(l, ims_json_string(v));
  }
  ims_json_free(json);
  return rc;
}

/* Where the next page is: the Link, or after a full page without one, what comes after its last name. */
static int32_t find_next(list_job *l, const ims_document *d, int count, bool advanced) {
  ims_error *err = &l->base.op.err;
  const ims_url *base = &l->base.fetch->call.base; /* not where a redirect led */
  size_t have = imgstore_report_count(names_of(l));
  char *link;
  int size = page_sizes[l->page];
  ims_url next;
  int32_t rc = ims_link_next(&link, alloc_of(l), &d->reply, err);
  if (rc || (!link && (!size || count != size || !advanced)))
    return rc;
  ims_buf after;
  ims_buf_init(&after, alloc_of(l), IMS_URL_MAX);
  if (!link)
    ims_buf_printf(&after, "?n=%d&last=%s", size, imgstore_report_name(names_of(l), have - 1));
  rc = after.failed ? ims_fail_nomem(err)
                    : ims_url_join(&next, alloc_of(l), base, link ? link : ims_buf_text(&after), l->what, err);
  ims_buf_free(&after);
  ims_free(alloc_of(l), link);
  if (rc)
    return rc;
  if (!ims_url_same_origin(&next, base))
    rc = ims_fail(err, IMGSTORE_EPROTOCOL, "%s: the link to the next page leads to another host", l->what);
  else if (!(l->next = ims_strdup(alloc_of(l), next.text + next.origin_size)))
    rc = ims_fail_nomem(err);
  ims_url_free(alloc_of(l), &next);
  return rc;
}

static int32_t take_page(list_job *l, const ims_document *d) {
  size_t before = imgstore_report_count(names_of(l));
  int count;
  int32_t rc = read_page(l, d, &count);
  bool advanced = imgstore_report_count(names_of(l)) > before;
  l->idle_pages = advanced ? 0 : l->idle_pages + 1;
  l->pages++;
  if (!rc)
    rc = find_next(l, d, count, advanced);
  if (!rc && l->next && (l->idle_pages > IDLE_PAGES_MAX || l->pages > NAMES_MAX))
    rc = ims_fail(&l->base.op.err, IMGSTORE_EPROTOCOL, "%s: page after page without new %s", l->what, l->kind->many);
  return rc;
}

static int32_t first_page(list_job *l) {
  ims_buf path;
  int size = page_sizes[l->page];
  ims_buf_init(&path, alloc_of(l), IMS_URL_MAX);
  ims_buf_printf(&path, "/v2/%s%s", l->repository, l->kind->path);
  if (size)
    ims_buf_printf(&path, "?n=%d", size);
  l->next = ims_buf_detach(&path, NULL);
  ims_buf_free(&path);
  return l->next ? IMGSTORE_OK : ims_fail_nomem(&l->base.op.err);
}

static void refused(list_job *l, int32_t code, const ims_error *err) {
  if (err->http_status == 400 && !l->pages && l->page + 1 < PAGE_SIZES) {
    l->page++; /* the page was too long for this registry */
    code = first_page(l);
    if (code)
      ims_registry_job_fail(&l->base, code, NULL);
  } else if (l->kind == &kind_catalog && (err->http_status == 404 || err->http_status == 405)) {
    ims_fail(&l->base.op.err, IMGSTORE_EUNSUPPORTED, "%s: this registry does not list its repositories (HTTP %d)",
             l->what, (int)err->http_status);
    l->base.op.err.http_status = err->http_status;
    ims_registry_job_fail(&l->base, IMGSTORE_EUNSUPPORTED, NULL);
  } else {
    ims_registry_job_fail(&l->base, code, err);
  }
}

static void on_page(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  list_job *l = data;
  if (code)
    refused(l, code, err);
  else if ((code = take_page(l, document)))
    ims_registry_job_fail(&l->base, code, NULL);
  ims_registry_job_answered(&l->base);
}

static int32_t step(ims_registry_job *job) {
  list_job *l = (list_job *)job;
  if (!l->next)
    return IMGSTORE_OK;
  char *path = l->next;
  l->next = NULL;
  int32_t rc =
      ims_fetch_path(job->client, l->repository, path, l->what, PAGE_BODY_MAX, on_page, l, &job->fetch, &job->op.err);
  ims_free(alloc_of(l), path);
  if (!rc && !*l->repository && !(job->fetch->more_scopes = ims_strdup(alloc_of(l), "registry:catalog:*")))
    rc = ims_fail_nomem(&job->op.err);
  return ims_registry_job_sent(job, rc);
}

static void clean(ims_registry_job *job) {
  list_job *l = (list_job *)job;
  ims_free(alloc_of(l), l->seen.slots);
  ims_free(alloc_of(l), l->repository);
  ims_free(alloc_of(l), l->what);
  ims_free(alloc_of(l), l->next);
}

static int32_t start(imgstore_operation **op, imgstore_registry *registry, const list_kind *kind,
                     const char *repository, const char *what, const imgstore_registry_job_options *options,
                     ims_error *err) {
  ims_registry_job *job;
  int32_t rc = ims_registry_job_new(&job, sizeof(list_job), registry, options, step, clean, err);
  if (rc)
    return rc;
  list_job *l = (list_job *)job;
  l->kind = kind;
  l->repository = ims_strdup(alloc_of(l), repository);
  l->what = ims_strdup(alloc_of(l), what);
  l->seed = (uint64_t)ims_wall_ns() ^ (uint64_t)(uintptr_t)l;
  rc = l->repository && l->what ? first_page(l) : ims_fail_nomem(&job->op.err);
  if (rc)
    return ims_registry_job_drop(job, rc, err);
  *op = &job->op;
  return IMGSTORE_OK;
}

int32_t ims_registry_tags_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                const imgstore_registry_job_options *options, ims_error *err) {
  char what[600];
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (rc)
    return rc;
  snprintf(what, sizeof what, "%s/%s", registry->own->host, repository);
  return start(op, registry, &kind_tags, repository, what, options, err);
}

int32_t ims_registry_catalog_start(imgstore_operation **op, imgstore_registry *registry,
                                   const imgstore_registry_job_options *options, ims_error *err) {
  char what[600];
  snprintf(what, sizeof what, "catalog of %s", registry->own->host);
  return start(op, registry, &kind_catalog, "", what, options, err);
}
