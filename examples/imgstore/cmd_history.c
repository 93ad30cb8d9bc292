/* cmd_history.c - history: how an image was built, newest step first. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

static const option history_options[] = {{OPTION_QUIET, 'q', "quiet", NULL, "print only image IDs"},
                                         {OPTION_NO_TRUNC, 0, "no-trunc", NULL, "show whole IDs and commands"},
                                         ROW_FORMAT("json: one object per line"),
                                         ROW_PLATFORM,
                                         ROW_END};
static const option_group history_group = {"Options", history_options};

enum { COMMAND_COLUMNS = 45 };

typedef struct step {
  const char *id, *created, *created_by, *comment;
  uint64_t size;
} step;

/* Step i counted from the newest. Only the newest has an image: the ones before it were not kept when it was built. */
static step step_at(const imgstore_image *image, size_t i, size_t count) {
  step s = {.id = i == 0 ? imgstore_image_id(image) : "<missing>", .created = "", .created_by = "", .comment = ""};
  size_t at = count - 1 - i;
  const imgstore_layer *layer = imgstore_image_layer(image, at);
  if (imgstore_image_history_count(image)) {
    s.created = imgstore_image_history_text(image, at, IMGSTORE_HISTORY_CREATED);
    s.created_by = imgstore_image_history_text(image, at, IMGSTORE_HISTORY_CREATED_BY);
    s.comment = imgstore_image_history_text(image, at, IMGSTORE_HISTORY_COMMENT);
    layer = imgstore_image_history_layer(image, at);
  }
  s.size = layer ? imgstore_layer_size(layer) : 0;
  return s;
}

static unit_text shown_id(const step *s) {
  return *s->id == '<' ? (unit_text){"<missing>"} : units_short_id(s->id);
}

static void print_json(text *t, const step *s, bool no_trunc) {
  int64_t now = (int64_t)time(NULL);
  json_begin(t);
  json_string(t, "Comment", s->comment);
  json_string(t, "CreatedAt", s->created);
  json_string(t, "CreatedBy", s->created_by);
  json_string(t, "CreatedSince", units_age(s->created, now).text);
  json_string(t, "ID", no_trunc ? s->id : shown_id(s).text);
  json_string(t, "Size", units_size(s->size).text);
  json_end(t, stdout);
}

static void add_row(table *rows, text *t, const step *s, bool no_trunc) {
  text_clear(t);
  text_add_safe(t, s->created_by);
  if (!no_trunc)
    text_ellipsis(t, COMMAND_COLUMNS);
  table_cell(rows, no_trunc ? s->id : shown_id(s).text);
  table_cell(rows, units_age(s->created, (int64_t)time(NULL)).text);
  table_cell(rows, text_get(t));
  table_cell(rows, units_size(s->size).text);
  table_cell(rows, s->comment);
}

static int print(cli *c, const imgstore_image *image, bool json) {
  static const char *const headings[] = {"IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"};
  bool quiet = option_given(&c->args, OPTION_QUIET), no_trunc = option_given(&c->args, OPTION_NO_TRUNC);
  size_t steps = imgstore_image_history_count(image), count = steps ? steps : imgstore_image_layer_count(image);
  text t = {0};
  table rows;
  table_begin(&rows, 5, headings);
  for (size_t i = 0; i < count; i++) {
    step s = step_at(image, i, count);
    if (quiet)
      put_line(stdout, "%s", no_trunc ? s.id : shown_id(&s).text);
    else if (json)
      print_json(&t, &s, no_trunc);
    else
      add_row(&rows, &t, &s, no_trunc);
  }
  text_free(&t);
  if (quiet || json) {
    table_free(&rows);
    return CLI_OK;
  }
  return table_print(&rows, stdout) ? CLI_OK : cli_out_of_memory(c);
}

static int run(cli *c) {
  bool json = false;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  if (!cli_format(c, &json))
    return CLI_USAGE;
  int status = cli_need_store(c, STORE_READ);
  if (status != CLI_OK)
    return status;
  int32_t code = cli_find_image(c, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, &error);
  status = code ? cli_failed(c, code, &error) : print(c, image, json);
  imgstore_image_unref(image);
  return status;
}

const command command_history = {
    .name = "history",
    .usage = "[OPTIONS] IMAGE",
    .summary = "Show how an image was built, newest step first",
    .details = "SIZE is the size of the step's layer as it is stored: compressed. Steps without a layer have 0B.",
    .examples = "  imgstore history alpine\n"
                "  imgstore history --no-trunc --format json alpine\n",
    .groups = (const option_group *const[]){&history_group, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
