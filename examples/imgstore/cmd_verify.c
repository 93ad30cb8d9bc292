/* cmd_verify.c - verify: whether the store is damaged; of an image see verify_signatures.c. */
#include <stdio.h>

#include "cli.h"

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
    ROW_FORMAT("with IMAGE: json is one object per signature and line"),
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
  if (*subject && (kind == IMGSTORE_REPORT_AFFECTED || kind == IMGSTORE_REPORT_MISSING)) {
    familiar_set(name, c, subject);
    subject = text_get(&name->whole);
  }
  put_line(stdout, "%s%s%s%s%s%s%s", word_of(kind), *subject ? ": " : "", subject, *digest ? ": " : "", digest,
           *detail ? ": " : "", detail);
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

static int run(cli *c) {
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
    .run = run,
};
