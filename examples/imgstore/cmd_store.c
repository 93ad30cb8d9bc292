/* cmd_store.c - prune, du, verify: the store as a whole. */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

/* --- prune ---------------------------------------------------------------------------------------------------------
 */

static int run_prune(cli *c) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  uint64_t total = 0;
  int status = cli_open_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  int32_t code = c->store ? imgstore_store_prune(c->store, &report, &error) : IMGSTORE_OK;
  if (code != IMGSTORE_OK)
    status = cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_DELETED)
      continue;
    const char *digest = imgstore_report_digest(report, i);
    fputs("Deleted: ", stdout);
    put_safe(stdout, *digest ? digest : imgstore_report_name(report, i));
    putchar('\n');
    total += imgstore_report_size(report, i);
  }
  if (status == CLI_OK && c->store)
    status = cli_prune_layer_dirs(c, &total);
  if (status == CLI_OK)
    printf("Total reclaimed space: %s\n", units_size(total).text);
  imgstore_report_free(report);
  return status;
}

const command command_prune = {
    .name = "prune",
    .usage = "",
    .summary = "Remove content that no image needs, and what interrupted pulls left",
    .details = "Images with a name stay, with the directories of their layers, and so does what a running pull has "
               "fetched.",
    .examples = "  imgstore prune\n",
    .groups = (const option_group *const[]){&group_global, NULL},
    .run = run_prune,
};

/* --- du ------------------------------------------------------------------------------------------------------------
 */

static const option du_options[] = {
    {OPTION_FORMAT, 0, "format", "table|json", "json: one object per line, sizes in bytes"}, ROW_END};
static const option_group du_group = {"Options", du_options};

static void print_usage_json(text *t, const char *image, const imgstore_report *report, size_t i) {
  uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
  json_begin(t);
  json_string(t, "Image", image);
  json_string(t, "Digest", imgstore_report_digest(report, i));
  json_number(t, "Size", size);
  json_number(t, "Shared", shared);
  json_number(t, "Unique", size - shared);
  json_end(t, stdout);
}

static int print_usage(cli *c, const imgstore_report *report, bool json) {
  static const char *const headings[] = {"IMAGE", "SIZE", "SHARED", "UNIQUE"};
  uint64_t total = 0;
  text t = {0};
  table rows;
  familiar name = {0};
  table_begin(&rows, 4, headings);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
    if (!*imgstore_report_name(report, i)) {
      total = size;
      continue;
    }
    familiar_set(&name, c, imgstore_report_name(report, i));
    if (json) {
      print_usage_json(&t, text_get(&name.whole), report, i);
      continue;
    }
    table_cell(&rows, text_get(&name.whole));
    table_cell(&rows, units_size(size).text);
    table_cell(&rows, units_size(shared).text);
    table_cell(&rows, units_size(size - shared).text);
  }
  bool ok = true;
  if (json) {
    json_begin(&t);
    json_number(&t, "Total", total);
    json_end(&t, stdout);
    table_free(&rows);
  } else {
    ok = table_print(&rows, stdout);
    printf("\nTotal: %s\n", units_size(total).text);
  }
  text_free(&t);
  familiar_free(&name);
  return ok ? CLI_OK : cli_out_of_memory(c);
}

static int run_du(cli *c) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  bool json;
  if (!cli_format(c, &json))
    return CLI_USAGE;
  int status = cli_open_store(c, STORE_READ);
  if (status != CLI_OK)
    return status;
  int32_t code = c->store ? imgstore_store_usage(c->store, &report, &error) : IMGSTORE_OK;
  status = code ? cli_failed(c, code, &error) : print_usage(c, report, json);
  if (status == CLI_OK && c->store)
    status = cli_print_layer_dirs(c, json);
  imgstore_report_free(report);
  return status;
}

const command command_du = {
    .name = "du",
    .usage = "[OPTIONS]",
    .summary = "Show how much space images take in the store",
    .details =
        "SHARED is the part of SIZE that other images need too, UNIQUE what removing the image frees. The total\n"
        "counts everything once. Where layers were applied to directories of their own, those are listed too, with\n"
        "what each image has of them, and each instance: SHARED are the directories below it, UNIQUE its own files.",
    .examples = "  imgstore du\n",
    .groups = (const option_group *const[]){&du_group, &group_global, NULL},
    .run = run_du,
};

/* --- verify --------------------------------------------------------------------------------------------------------
 */

static const option verify_options[] = {
    {OPTION_FULL, 0, "full", NULL, "hash everything (default: structure and sizes)"},
    {OPTION_REPAIR, 0, "repair", NULL,
     "as --full, and move damaged content out of the way,\n"
     "so that the next pull fetches it again"},
    {OPTION_VERIFY_KEY, 0, "key", "FILE",
     "with IMAGE: a public key (PEM) that must have signed;\n"
     "given again: any of the keys"},
    {OPTION_KEY, 0, "client-key", "FILE", "with IMAGE: key of the client certificate (PEM)"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "with IMAGE: which one (default: this machine's)"},
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "with IMAGE: the index must be signed"},
    {OPTION_FORMAT, 0, "format", "table|json", "with IMAGE: json is one object per signature and line"},
    ROW_END};
static const option_group verify_group = {"Options", verify_options};

static const char *word_of(int32_t kind) {
  switch (kind) {
  case IMGSTORE_REPORT_DAMAGED:
    return "damaged";
  case IMGSTORE_REPORT_MISSING:
    return "missing";
  case IMGSTORE_REPORT_AFFECTED:
    return "affected";
  case IMGSTORE_REPORT_QUARANTINED:
    return "quarantined";
  case IMGSTORE_REPORT_REPAIRED:
    return "repaired";
  case IMGSTORE_REPORT_FOREIGN:
    return "unknown file";
  default:
    return "note";
  }
}

/* "affected: alpine:latest: sha256:...: why" with the parts that there are. */
static void print_finding(cli *c, const imgstore_report *report, size_t i, familiar *name) {
  int32_t kind = imgstore_report_kind(report, i);
  const char *digest = imgstore_report_digest(report, i), *detail = imgstore_report_detail(report, i);
  const char *subject = imgstore_report_name(report, i);
  text t = {0};
  if (*subject && (kind == IMGSTORE_REPORT_AFFECTED || kind == IMGSTORE_REPORT_MISSING)) {
    familiar_set(name, c, subject);
    subject = text_get(&name->whole);
  }
  const char *parts[] = {subject, digest, detail};
  text_add(&t, word_of(kind));
  for (size_t part = 0; part < 3; part++) {
    if (!*parts[part])
      continue;
    text_add(&t, ": ");
    text_add_safe(&t, parts[part]);
  }
  puts(text_get(&t));
  text_free(&t);
}

static bool is_damage(int32_t kind) {
  return kind == IMGSTORE_REPORT_DAMAGED || kind == IMGSTORE_REPORT_MISSING || kind == IMGSTORE_REPORT_AFFECTED ||
         kind == IMGSTORE_REPORT_QUARANTINED;
}

static int print_findings(cli *c, const imgstore_report *report, int32_t mode) {
  size_t damage = 0, in_the_way = 0;
  familiar name = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    print_finding(c, report, i, &name);
    damage += is_damage(imgstore_report_kind(report, i));
    in_the_way += imgstore_report_kind(report, i) == IMGSTORE_REPORT_DAMAGED;
  }
  familiar_free(&name);
  fflush(stdout);
  if (!damage)
    fputs(mode == IMGSTORE_VERIFY_QUICK ? "No damage found (--full hashes the content as well).\n"
                                        : "No damage found.\n",
          stderr);
  else if (mode == IMGSTORE_VERIFY_REPAIR || !in_the_way)
    fputs("Pull the affected images again: only what is missing is fetched.\n", stderr);
  else
    fputs("imgstore verify --repair moves damaged content out of the way, so that a pull fetches it again.\n", stderr);
  return damage ? CLI_FAILED : CLI_OK;
}

static int run_verify(cli *c) {
  if (c->args.count)
    return cli_verify_image(c);
  if (option_given(&c->args, OPTION_VERIFY_KEY) || option_given(&c->args, OPTION_POLICY))
    return cli_usage(c, "which image? imgstore verify --key FILE IMAGE");
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int32_t mode = option_given(&c->args, OPTION_REPAIR) ? IMGSTORE_VERIFY_REPAIR
                 : option_given(&c->args, OPTION_FULL) ? IMGSTORE_VERIFY_FULL
                                                       : IMGSTORE_VERIFY_QUICK;
  int status = cli_need_store(c, mode == IMGSTORE_VERIFY_REPAIR ? STORE_WRITE : STORE_READ);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_store_verify(c->store, mode, &report, &error);
  status = code ? cli_failed(c, code, &error) : print_findings(c, report, mode);
  imgstore_report_free(report);
  return status;
}

const command command_verify = {
    .name = "verify",
    .usage = "[OPTIONS] [IMAGE]",
    .summary = "Check the store for damage, or the signatures of an image",
    .details =
        "Prints what is damaged or missing and which images it affects. The exit status is 1 when there is damage.\n"
        "With IMAGE and --key or --policy it is the signatures that a registry has for the image: each is printed,\n"
        "and the exit status is 1 when there are not those that are wanted.",
    .examples = "  imgstore verify --full\n"
                "  imgstore verify --repair\n"
                "  imgstore verify --key cosign.pub registry.example.org/app:1\n",
    .groups = (const option_group *const[]){&verify_group, &group_policy, &group_registry, &group_global, NULL},
    .max_words = 1,
    .run = run_verify,
};
