/* cmd_ls.c - ls: the images of the store. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

static const option ls_options[] = {{OPTION_QUIET, 'q', "quiet", NULL, "print only image IDs"},
                                    {OPTION_DIGESTS, 0, "digests", NULL, "show digests"},
                                    {OPTION_NO_TRUNC, 0, "no-trunc", NULL, "show whole IDs"},
                                    ROW_FORMAT("json: one object per line"),
                                    {OPTION_ROOTFS, 0, "rootfs", NULL, "list the instances, not the images"},
                                    ROW_END};
static const option_group ls_group = {"Options", ls_options};

typedef struct listing {
  cli *c;
  table table;
  bool json, quiet, digests, no_trunc;
  int64_t now;
  const char *filter;
  text line;
  int status;
} listing;

/* One line of the list. */
typedef struct item {
  const familiar *name;
  unit_text id_short;
  const char *id, *digest, *created;
  uint64_t size;
} item;

static bool matches(const listing *l, const familiar *f, const char *full_name) {
  const char *pattern = l->filter;
  if (!pattern)
    return true;
  size_t length = strlen(pattern);
  bool full_repository = strncmp(full_name, pattern, length) == 0 && strchr(":@", full_name[length]) && length;
  return full_repository || fnmatch(pattern, text_get(&f->repository), FNM_PATHNAME) == 0 ||
         fnmatch(pattern, text_get(&f->whole), FNM_PATHNAME) == 0 || fnmatch(pattern, full_name, FNM_PATHNAME) == 0;
}

static void print_json(listing *l, const item *i) {
  text *t = &l->line;
  json_begin(t);
  json_string(t, "Repository", text_get(&i->name->repository));
  json_string(t, "Tag", text_get(&i->name->tag));
  json_string(t, "Digest", i->digest);
  json_string(t, "ID", l->no_trunc ? i->id : i->id_short.text);
  json_string(t, "CreatedSince", units_age(i->created, l->now).text);
  json_string(t, "CreatedAt", units_date(i->created).text);
  json_string(t, "Size", units_size(i->size).text);
  json_end(t, stdout);
}

static void print_item(listing *l, const item *i) {
  if (l->quiet) {
    put_line(stdout, "%s", l->no_trunc ? i->id : i->id_short.text);
    return;
  }
  if (l->json) {
    print_json(l, i);
    return;
  }
  table_cell(&l->table, text_get(&i->name->repository));
  table_cell(&l->table, text_get(&i->name->tag));
  if (l->digests)
    table_cell(&l->table, i->digest);
  table_cell(&l->table, l->no_trunc ? i->id : i->id_short.text);
  table_cell(&l->table, units_age(i->created, l->now).text);
  table_cell(&l->table, units_size(i->size).text);
}

/* One that cannot be read is still listed, so that it can be removed or pulled again; what is no image at all, as an
   artifact, has its place in the store too. */
static void list_one(listing *l, const imgstore_report *report, size_t line, familiar *name) {
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  const char *full_name = imgstore_report_name(report, line);
  familiar_set(name, l->c, full_name);
  if (!matches(l, name, full_name))
    return;
  item i = {.name = name,
            .id = "<none>",
            .digest = imgstore_report_digest(report, line),
            .created = "",
            .size = imgstore_report_size(report, line)};
  int32_t code = cli_find_image(l->c, full_name, NULL, &image, &error);
  if (code == IMGSTORE_OK) {
    i.id = imgstore_image_id(image);
    i.digest = imgstore_image_target_digest(image);
    i.created = imgstore_image_text(image, IMGSTORE_IMAGE_CREATED);
  } else if (code == IMGSTORE_EUNSUPPORTED) {
    imgstore_error_free(error);
  } else {
    l->status = cli_failed(l->c, code, &error);
  }
  i.id_short = units_short_id(i.id);
  print_item(l, &i);
  imgstore_image_unref(image);
}

static void begin(listing *l) {
  static const char *const plain[] = {"REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"};
  static const char *const with_digests[] = {"REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"};
  l->now = (int64_t)time(NULL);
  if (!l->quiet && !l->json)
    table_begin(&l->table, l->digests ? 6 : 5, l->digests ? with_digests : plain);
}

static int run(cli *c) {
  listing l = {.c = c,
               .quiet = option_given(&c->args, OPTION_QUIET),
               .digests = option_given(&c->args, OPTION_DIGESTS),
               .no_trunc = option_given(&c->args, OPTION_NO_TRUNC),
               .filter = c->args.words[0]};
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  familiar name = {0};
  if (!cli_format(c, &l.json))
    return CLI_USAGE;
  if (option_given(&c->args, OPTION_ROOTFS))
    return cli_list_rootfs(c, l.json, l.quiet);
  l.status = cli_open_store(c, STORE_READ);
  if (l.status != CLI_OK)
    return l.status;
  int32_t code = c->store ? imgstore_store_list(c->store, &report, &error) : IMGSTORE_OK;
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  begin(&l);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    list_one(&l, report, i, &name);
  if (l.table.columns && !table_print(&l.table, stdout))
    l.status = cli_out_of_memory(c);
  imgstore_report_free(report);
  familiar_free(&name);
  text_free(&l.line);
  return l.status;
}

const command command_ls = {
    .name = "ls",
    .alias = "images list",
    .usage = "[OPTIONS] [FILTER]",
    .summary = "List the images of the store",
    .details = "FILTER is a name, or a pattern with * ? [...], matched against REPOSITORY and REPOSITORY:TAG.\n"
               "SIZE is what the image takes in the store: its layers are kept compressed.",
    .examples = "  imgstore ls\n"
                "  imgstore ls --digests 'alpine:3.*'\n"
                "  imgstore ls -q | xargs imgstore inspect\n",
    .groups = (const option_group *const[]){&ls_group, &group_global, NULL},
    .max_words = 1,
    .run = run,
};
