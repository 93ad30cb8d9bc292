/*
 * base/report.c (L0) - the list of lines behind imgstore_report, and its public accessors.
 */
#include "base/report.h"

#include <string.h>

#include "imgstore/error.h"

enum { MAX_LINES = 1 << 20 };

typedef struct line {
  int32_t kind;
  uint64_t size, shared, inodes;
  char *digest, *detail; /* into the memory of name */
  char *name;
} line;

struct imgstore_report {
  ims_alloc alloc;
  line *lines;
  size_t count, capacity;
};

imgstore_report *ims_report_new(const ims_alloc *alloc) {
  imgstore_report *report = ims_calloc(alloc, 1, sizeof *report);
  if (report)
    report->alloc = *alloc;
  return report;
}

static int32_t grow(imgstore_report *report) {
  if (report->count < report->capacity)
    return IMGSTORE_OK;
  if (report->count >= MAX_LINES)
    return IMGSTORE_ELIMIT;
  size_t capacity = report->capacity ? report->capacity * 2 : 16;
  line *lines = ims_realloc_array(&report->alloc, report->lines, capacity, sizeof *lines);
  if (!lines)
    return IMGSTORE_ENOMEM;
  report->lines = lines;
  report->capacity = capacity;
  return IMGSTORE_OK;
}

static char *put(char *at, const char *text) {
  size_t size = strlen(text) + 1;
  memcpy(at, text, size);
  return at + size;
}

int32_t ims_report_add(imgstore_report *report, int32_t kind, const char *name, const char *digest, const char *detail,
                       uint64_t size, uint64_t shared) {
  int32_t rc = grow(report);
  if (rc)
    return rc;
  name = name ? name : "";
  digest = digest ? digest : "";
  detail = detail ? detail : "";
  line *l = &report->lines[report->count];
  l->name = ims_malloc(&report->alloc, strlen(name) + strlen(digest) + strlen(detail) + 3);
  if (!l->name)
    return IMGSTORE_ENOMEM;
  l->digest = put(l->name, name);
  l->detail = put(l->digest, digest);
  put(l->detail, detail);
  l->kind = kind;
  l->size = size;
  l->shared = shared;
  l->inodes = 0;
  report->count++;
  return IMGSTORE_OK;
}

void ims_report_set_inodes(imgstore_report *report, uint64_t inodes) {
  if (report->count)
    report->lines[report->count - 1].inodes = inodes;
}

static const line *line_at(const imgstore_report *report, size_t i) {
  return report && i < report->count ? &report->lines[i] : NULL;
}

size_t imgstore_report_count(const imgstore_report *report) {
  return report ? report->count : 0;
}

int32_t imgstore_report_kind(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->kind : 0;
}

const char *imgstore_report_name(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->name : "";
}

const char *imgstore_report_digest(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->digest : "";
}

const char *imgstore_report_detail(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->detail : "";
}

uint64_t imgstore_report_size(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->size : 0;
}

uint64_t imgstore_report_shared(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->shared : 0;
}

uint64_t imgstore_report_inodes(const imgstore_report *report, size_t i) {
  const line *l = line_at(report, i);
  return l ? l->inodes : 0;
}

void imgstore_report_free(imgstore_report *report) {
  if (!report)
    return;
  for (size_t i = 0; i < report->count; i++)
    ims_free(&report->alloc, report->lines[i].name);
  ims_free(&report->alloc, report->lines);
  ims_alloc alloc = report->alloc;
  ims_free(&alloc, report);
}
