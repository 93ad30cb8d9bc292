/* cmd_referrers.c - referrers: what is attached to an image, as a list or one object of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"
#include "remote.h"
#include "table.h"
#include "units.h"

static const option referrers_options[] = {
    {OPTION_TYPE, 't', "type", "KIND|TYPE",
     "only signature, sbom, spdx, cyclonedx, provenance,\n"
     "vulnerability, other, or an artifact type"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "of which image (default: this machine's)"},
    {OPTION_LOCAL, 0, "local", NULL, "of an image in the store, without a registry"},
    {OPTION_FETCH, 0, "fetch", "DIGEST", "fetch this object; its first digits will do"},
    {OPTION_OUTPUT, 'o', "output", "FILE",
     "where the object goes (default: standard output);\n"
     "without --fetch: the only one that was found"},
    ROW_FORMAT("json: one object per line"),
    {OPTION_NO_TRUNC, 0, "no-trunc", NULL, "show whole digests"},
    ROW_END};
static const option_group referrers_group = {"Options", referrers_options};

enum { FETCH_MAX = 1 << 30 };

static const char *const kinds[] = {"", "signature", "spdx", "cyclonedx", "provenance", "vulnerability", "other"};
static const char *const places[] = {"", "referrers", "tag", "cosign", "index", "store"};
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef struct referrers {
  cli *c;
  remote remote;
  bool json, any_sbom;
  imgstore_attached_options options;
  imgstore_attached *list;
} referrers;

/* --- which ----------------------------------------------------------------------------------------------------------
 */

static bool read_type(referrers *r) {
  const char *type = option_value(&r->c->args, OPTION_TYPE);
  if (!type)
    return true;
  for (int32_t i = 1; i < KINDS; i++)
    if (strcmp(type, kinds[i]) == 0)
      r->options.kind = i;
  r->any_sbom = strcmp(type, "sbom") == 0;
  if (!r->options.kind && !r->any_sbom && strchr(type, '/'))
    r->options.artifact_type = type;
  else if (!r->options.kind && !r->any_sbom)
    return cli_usage(r->c,
                     "--type is signature, sbom, spdx, cyclonedx, provenance, vulnerability, other or an "
                     "artifact type, not %s",
                     type),
           false;
  return true;
}

static bool is_shown(const referrers *r, size_t i) {
  int32_t kind = imgstore_attached_kind(r->list, i);
  return !r->any_sbom || kind == IMGSTORE_ATTACHED_SBOM_SPDX || kind == IMGSTORE_ATTACHED_SBOM_CYCLONEDX;
}

/* --- the list -------------------------------------------------------------------------------------------------------
 */

static void add_annotations(const referrers *r, size_t i, text *line) {
  const char *key, *value;
  text_add(line, ",\"annotations\":{");
  for (size_t n = 0; imgstore_attached_annotation(r->list, i, n, &key, &value) == IMGSTORE_OK; n++) {
    size_t earlier = 0;
    const char *other, *ignored;
    while (earlier < n && imgstore_attached_annotation(r->list, i, earlier, &other, &ignored) == IMGSTORE_OK &&
           strcmp(other, key) != 0)
      earlier++;
    if (earlier < n)
      continue; /* the content's own goes before the manifest's */
    text_add(line, n ? "," : "");
    text_add_json(line, key);
    text_add(line, ":");
    text_add_json(line, value);
  }
  text_add(line, "}");
}

static const char *or_null(const char *value) {
  return value && *value ? value : NULL;
}

static void print_json(const referrers *r, size_t i, text *line) {
  json_begin(line);
  json_string(line, "kind", kinds[imgstore_attached_kind(r->list, i)]);
  json_string(line, "mediaType", imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_MEDIA_TYPE));
  json_string(line, "artifactType", or_null(imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_ARTIFACT_TYPE)));
  json_string(line, "predicateType", or_null(imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_PREDICATE_TYPE)));
  json_string(line, "digest", imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_DIGEST));
  json_number(line, "size", imgstore_attached_size(r->list, i));
  json_string(line, "manifest", imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_MANIFEST));
  json_string(line, "subject", imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_SUBJECT));
  json_string(line, "found", places[imgstore_attached_found(r->list, i)]);
  json_string(line, "title", or_null(imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_TITLE)));
  add_annotations(r, i, line);
  json_end(line, stdout);
}

/* The most telling of its types. */
static const char *type_of(const referrers *r, size_t i) {
  const char *predicate = or_null(imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_PREDICATE_TYPE));
  const char *media = or_null(imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_MEDIA_TYPE));
  return predicate ? predicate : media ? media : imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_ARTIFACT_TYPE);
}

static int print_list(const referrers *r) {
  static const char *const headings[] = {"KIND", "TYPE", "DIGEST", "SIZE"};
  bool whole = option_given(&r->c->args, OPTION_NO_TRUNC);
  struct table cells = {0};
  text line = {0};
  if (!r->json)
    table_begin(&cells, 4, headings);
  for (size_t i = 0; i < imgstore_attached_count(r->list); i++) {
    const char *digest = imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_DIGEST);
    if (!is_shown(r, i))
      continue;
    if (r->json) {
      print_json(r, i, &line);
      continue;
    }
    table_cell(&cells, kinds[imgstore_attached_kind(r->list, i)]);
    table_cell(&cells, type_of(r, i));
    table_cell(&cells, whole ? digest : units_short_id(digest).text);
    table_cell(&cells, units_size(imgstore_attached_size(r->list, i)).text);
  }
  text_free(&line);
  return !r->json && !table_print(&cells, stdout) ? cli_out_of_memory(r->c) : CLI_OK;
}

/* --- one object -----------------------------------------------------------------------------------------------------
 */

static bool digest_starts(const char *digest, const char *given) {
  const char *hex = strchr(digest, ':');
  size_t size = strlen(given);
  return size && (strncmp(digest, given, size) == 0 || (hex && strncmp(hex + 1, given, size) == 0));
}

/* The number of the object that is meant. An object that is attached twice is one. */
static int choose(const referrers *r, size_t *chosen) {
  const char *wanted = option_value(&r->c->args, OPTION_FETCH);
  size_t count = 0;
  for (size_t i = 0; i < imgstore_attached_count(r->list); i++) {
    const char *digest = imgstore_attached_text(r->list, i, IMGSTORE_ATTACHED_DIGEST);
    if (!is_shown(r, i) || (wanted && !digest_starts(digest, wanted)))
      continue;
    if (count && strcmp(digest, imgstore_attached_text(r->list, *chosen, IMGSTORE_ATTACHED_DIGEST)) == 0)
      continue;
    *chosen = i;
    count++;
  }
  if (count == 1)
    return CLI_OK;
  if (wanted)
    cli_message(r->c,
                count ? "%s: more than one attached object has a digest that starts so"
                      : "%s: no attached object has that digest",
                wanted);
  else
    cli_message(r->c, count ? "%zu objects are attached: choose one with --type or --fetch" : "nothing is attached",
                count);
  return CLI_FAILED;
}

static int write_file(const cli *c, const char *path, const imgstore_bytes *bytes) {
  const void *data = imgstore_bytes_data(bytes);
  size_t size = imgstore_bytes_size(bytes);
  if (!path || strcmp(path, "-") == 0)
    return put_document(data, size) ? CLI_OK : cli_out_of_memory(c);
  FILE *file = fopen(path, "wbe");
  bool failed = !file || fwrite(data, 1, size, file) != size;
  if (file && fclose(file) != 0)
    failed = true;
  if (failed)
    cli_message(c, "cannot write %s: %s", path, strerror(errno));
  return failed ? CLI_FAILED : CLI_OK;
}

static int fetch(const referrers *r) {
  imgstore_bytes *bytes = NULL;
  imgstore_error *error = NULL;
  size_t chosen = 0;
  int status = choose(r, &chosen);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_attached_read(r->list, chosen, FETCH_MAX, &bytes, &error);
  status = code ? cli_failed(r->c, code, &error) : write_file(r->c, option_value(&r->c->args, OPTION_OUTPUT), bytes);
  imgstore_bytes_free(bytes);
  return status;
}

/* --- the command ----------------------------------------------------------------------------------------------------
 */

static int show(const referrers *r) {
  bool one = option_given(&r->c->args, OPTION_FETCH) || option_given(&r->c->args, OPTION_OUTPUT);
  return one ? fetch(r) : print_list(r);
}

static int list_local(referrers *r) {
  imgstore_error *error = NULL;
  int status = cli_need_store(r->c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_attached_list_store(r->c->store, r->c->args.words[0], &r->options, &r->list, &error);
  return code ? cli_failed(r->c, code, &error) : show(r);
}

static int list_remote(referrers *r) {
  imgstore_error *error = NULL;
  job *j = &r->remote.job;
  int status = remote_open(&r->remote, r->c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_attached_list_start(r->remote.registry, imgstore_reference_name(r->remote.reference),
                                              &r->options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status != CLI_OK)
    return status;
  r->list = imgstore_operation_attached(j->operation);
  return show(r);
}

static bool read_options(referrers *r) {
  imgstore_attached_options *o = &r->options;
  imgstore_attached_options_init(o, sizeof *o);
  o->platform = option_value(&r->c->args, OPTION_PLATFORM);
  o->progress = progress_event;
  o->progress_data = &r->remote.job.progress;
  return remote_begin(&r->remote, r->c, NULL) && cli_format(r->c, &r->json) && read_type(r);
}

static int run(cli *c) {
  referrers r = {.c = c};
  int status = CLI_USAGE;
  if (read_options(&r))
    status = option_given(&c->args, OPTION_LOCAL) ? list_local(&r) : list_remote(&r);
  imgstore_attached_unref(r.list);
  return remote_end(&r.remote, status);
}

const command command_referrers = {
    .name = "referrers",
    .alias = "attached",
    .usage = "[OPTIONS] IMAGE",
    .summary = "List what is attached to an image: signatures, SBOMs, provenance, reports",
    .details =
        "Looks at the registry's referrers, their fallback tag, cosign's tags and BuildKit's attestations in the\n"
        "index. With --fetch or --output one object is written out; its bytes were checked against its digest.\n"
        "Nothing that is listed is trusted for that: 'imgstore verify --key' checks signatures.",
    .examples = "  imgstore referrers alpine\n"
                "  imgstore referrers --type sbom -o sbom.json registry.example.org/app:1\n"
                "  imgstore referrers --fetch 3f2a90c1 registry.example.org/app:1\n",
    .groups = (const option_group *const[]){&referrers_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
