/* published.c - the report of a push, copy or sync: a line per name, or every object, or JSON lines. */
#include "published.h"

#include <inttypes.h>
#include <string.h>

#include "json_out.h"
#include "table.h"
#include "units.h"

bool published_view_read(cli *c, published_view *view) {
  *view = (published_view){.dry_run = option_given(&c->args, OPTION_DRY_RUN),
                           .quiet = option_given(&c->args, OPTION_QUIET)};
  return cli_format(c, &view->json);
}

static const char *action_of(int32_t kind, bool dry_run) {
  switch (kind) {
  case IMGSTORE_REPORT_PUBLISHED:
    return "published";
  case IMGSTORE_REPORT_SENT:
    return dry_run ? "to send" : "sent";
  case IMGSTORE_REPORT_PRESENT:
    return "present";
  case IMGSTORE_REPORT_MOUNTED:
    return "mounted";
  default:
    return NULL;
  }
}

static void print_json(const imgstore_report *r, size_t i, const char *action) {
  text t = {0};
  bool mounted = imgstore_report_kind(r, i) == IMGSTORE_REPORT_MOUNTED;
  const char *name = imgstore_report_name(r, i);
  json_begin(&t);
  json_string(&t, "action", action);
  json_string(&t, mounted ? "from" : "name", *name ? name : NULL);
  json_string(&t, "digest", imgstore_report_digest(r, i));
  json_number(&t, "size", imgstore_report_size(r, i));
  json_string(&t, "mediaType", imgstore_report_detail(r, i));
  json_end(&t, stdout);
  text_free(&t);
}

static void print_failure_json(const imgstore_report *r, size_t i) {
  text t = {0};
  json_begin(&t);
  json_string(&t, "action", "failed");
  json_string(&t, "name", imgstore_report_name(r, i));
  json_string(&t, "error", imgstore_report_detail(r, i));
  json_end(&t, stdout);
  text_free(&t);
}

static int print_objects_json(const imgstore_report *r, const published_view *view) {
  for (size_t i = 0; i < imgstore_report_count(r); i++) {
    int32_t kind = imgstore_report_kind(r, i);
    const char *action = action_of(kind, view->dry_run);
    if (kind == IMGSTORE_REPORT_FAILED)
      print_failure_json(r, i);
    else if (action && !(view->dry_run && kind == IMGSTORE_REPORT_PUBLISHED))
      print_json(r, i, action);
  }
  return CLI_OK;
}

/* What a dry run found: every object, and what it comes to. */
static int print_plan(const cli *c, const imgstore_report *r) {
  static const char *const headings[] = {"ACTION", "DIGEST", "SIZE", "TYPE"};
  uint64_t bytes[2] = {0, 0};
  size_t count[2] = {0, 0};
  table t;
  table_begin(&t, 4, headings);
  for (size_t i = 0; i < imgstore_report_count(r); i++) {
    int32_t kind = imgstore_report_kind(r, i);
    const char *action = action_of(kind, true);
    if (!action || kind == IMGSTORE_REPORT_PUBLISHED)
      continue;
    bool there = kind != IMGSTORE_REPORT_SENT;
    bytes[there] += imgstore_report_size(r, i);
    count[there]++;
    table_cell(&t, action);
    table_cell(&t, imgstore_report_digest(r, i));
    table_cell(&t, units_size(imgstore_report_size(r, i)).text);
    table_cell(&t, imgstore_report_detail(r, i));
  }
  if (!table_print(&t, stdout))
    return cli_out_of_memory(c);
  printf("to send: %zu objects, %s; present: %zu objects, %s\n", count[0], units_size(bytes[0]).text, count[1],
         units_size(bytes[1]).text);
  return CLI_OK;
}

/* The tag or digest of a full name, or all of a name that has neither. */
static const char *last_part(const char *name) {
  const char *slash = strrchr(name, '/'), *digest = strchr(name, '@');
  const char *colon = strrchr(slash ? slash : name, ':');
  return digest ? digest + 1 : colon ? colon + 1 : name;
}

int published_print(const cli *c, const imgstore_report *r, const published_view *view) {
  if (view->json)
    return print_objects_json(r, view);
  if (view->dry_run)
    return print_plan(c, r);
  for (size_t i = 0; i < imgstore_report_count(r); i++) {
    if (imgstore_report_kind(r, i) != IMGSTORE_REPORT_PUBLISHED)
      continue;
    const char *name = imgstore_report_name(r, i);
    if (view->quiet)
      put_line(stdout, "%s", name);
    else
      put_line(stdout, "%s: digest: %s size: %" PRIu64, last_part(name), imgstore_report_digest(r, i),
               imgstore_report_size(r, i));
  }
  return CLI_OK;
}
