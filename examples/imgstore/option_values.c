/* option_values.c - what the values of options say: words out of a few, numbers, lists. One place checks them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "units.h"

enum { HIGHEST_LEVEL = 19 };
/* The end of the year 9999. */
static const uint64_t LATEST_TIME = UINT64_C(253402300799);

static const char *name_of(const cli *c, int id) {
  return option_name(c->command->groups, id);
}

/* "a, b or c" */
static void add_words(text *t, const choice *choices) {
  for (size_t i = 0; choices[i].word; i++)
    text_addf(t, "%s%s", i == 0 ? "" : choices[i + 1].word ? ", " : " or ", choices[i].word);
}

bool cli_choose(const cli *c, int id, const char *word, const choice *choices, int32_t *value) {
  text words = {0};
  for (size_t i = 0; choices[i].word; i++) {
    if (strcmp(word, choices[i].word) != 0)
      continue;
    *value = choices[i].value;
    return true;
  }
  add_words(&words, choices);
  cli_usage(c, "--%s is %s, not %s", name_of(c, id), text_get(&words), word);
  text_free(&words);
  return false;
}

bool cli_choice(const cli *c, int id, const choice *choices, int32_t *value) {
  const char *given = option_value(&c->args, id);
  return !given || cli_choose(c, id, given, choices, value);
}

bool cli_number(const cli *c, int id, uint64_t least, uint64_t most, uint64_t *value) {
  const char *given = option_value(&c->args, id);
  uint64_t number = 0;
  if (given && (!units_number(given, most, &number) || number < least)) {
    cli_usage(c, "--%s is a number from %" PRIu64 " to %" PRIu64 ", not %s", name_of(c, id), least, most, given);
    return false;
  }
  if (given)
    *value = number;
  return true;
}

bool cli_values(const cli *c, int id, const char ***values, size_t *count) {
  size_t all = option_count(&c->args, id);
  if (!all)
    return true;
  *values = calloc(all, sizeof **values);
  if (!*values) {
    cli_out_of_memory(c);
    return false;
  }
  *count = 0;
  for (size_t i = 0; i < c->args.option_count; i++)
    if (c->args.options[i].id == id)
      (*values)[(*count)++] = c->args.options[i].value;
  return true;
}

/* --- options that several commands have ----------------------------------------------------------------------------
 */

bool cli_format(const cli *c, bool *json) {
  static const choice formats[] = {{"table", false}, {"json", true}, {NULL, 0}};
  int32_t format = false;
  bool good = cli_choice(c, OPTION_FORMAT, formats, &format);
  *json = format;
  return good;
}

bool cli_image_format(const cli *c, int32_t *format) {
  static const choice formats[] = {{"oci", IMGSTORE_FORMAT_OCI}, {"docker", IMGSTORE_FORMAT_DOCKER}, {NULL, 0}};
  return cli_choice(c, OPTION_FORMAT, formats, format);
}

bool cli_archive_format(const cli *c, int32_t *format) {
  static const choice formats[] = {{"docker-archive", IMGSTORE_ARCHIVE_DOCKER},
                                   {"oci-archive", IMGSTORE_ARCHIVE_OCI},
                                   {"oci-dir", IMGSTORE_ARCHIVE_OCI_DIR},
                                   {NULL, 0}};
  return cli_choice(c, OPTION_FORMAT, formats, format);
}

bool cli_platforms(const cli *c, uint32_t all, const char **platform, uint32_t *flags) {
  *platform = option_value(&c->args, OPTION_PLATFORM);
  if (!option_given(&c->args, OPTION_ALL_PLATFORMS))
    return true;
  *flags |= all;
  if (*platform)
    cli_usage(c, "--platform and --all-platforms exclude each other");
  return !*platform;
}

/* https://reproducible-builds.org/specs/source-date-epoch/ */
static bool read_epoch(const cli *c, layer_settings *settings) {
  const char *given = option_value(&c->args, OPTION_TIMESTAMP), *set = getenv("SOURCE_DATE_EPOCH");
  const char *what = given ? "--timestamp" : "SOURCE_DATE_EPOCH";
  uint64_t seconds = 0;
  if (!given && set && *set)
    given = set;
  if (!given)
    return true;
  if (!units_number(given, LATEST_TIME, &seconds)) {
    cli_usage(c, "%s is a number of seconds since 1970, not %s", what, given);
    return false;
  }
  settings->flags = IMGSTORE_BUILD_EPOCH;
  settings->epoch = (int64_t)seconds;
  return true;
}

bool cli_compression(const cli *c, int32_t *compression) {
  static const choice compressions[] = {{"gzip", IMGSTORE_COMPRESS_GZIP},
                                        {"fast", IMGSTORE_COMPRESS_GZIP_FAST},
                                        {"zstd", IMGSTORE_COMPRESS_ZSTD},
                                        {"none", IMGSTORE_COMPRESS_NONE},
                                        {NULL, 0}};
  return cli_choice(c, OPTION_COMPRESSION, compressions, compression);
}

bool cli_layer_settings(const cli *c, layer_settings *settings) {
  uint64_t level = 0;
  *settings = (layer_settings){0};
  bool good = cli_compression(c, &settings->compression) && cli_number(c, OPTION_LEVEL, 0, HIGHEST_LEVEL, &level) &&
              read_epoch(c, settings);
  settings->level = (int32_t)level;
  return good;
}
