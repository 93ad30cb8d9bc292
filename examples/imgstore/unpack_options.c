/* unpack_options.c - the options of unpacking, and the report on what could not be made as the image says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "units.h"

static const option unpack_options[] = {
    {OPTION_UID_MAP, 0, "uid-map", "INSIDE:OUTSIDE:COUNT",
     "owners INSIDE, INSIDE+1, ... of the image become OUTSIDE,\n"
     "OUTSIDE+1, ... here; may be given again"},
    {OPTION_GID_MAP, 0, "gid-map", "INSIDE:OUTSIDE:COUNT", "the same for groups"},
    {OPTION_OWNER_POLICY, 0, "owner-policy", "POLICY",
     "an owner that cannot be set: error, skip, or record it\n"
     "in user.rootlesscontainers (default: error for root, else skip)"},
    {OPTION_DEVICE_POLICY, 0, "device-policy", "POLICY", "a device that cannot be made: error or skip"},
    {OPTION_XATTR_POLICY, 0, "xattr-policy", "POLICY", "an extended attribute that cannot be set: error or skip"},
    {OPTION_STRICT_XATTRS, 0, "strict-xattrs", NULL,
     "refuse extended attributes other than security.capability,\n"
     "user.* and ACLs instead of leaving them out"},
    {OPTION_FLUSH, 0, "flush", NULL, "flush the files to disk before the command ends"},
    ROW_END};
const option_group group_unpack = {"Unpack options", unpack_options};

/* --- reading -------------------------------------------------------------------------------------------------------
 */

/* Takes the number up to the character end off *rest. */
static bool take_number(const char **rest, char end, uint32_t *number) {
  const char *stop = strchrnul(*rest, end);
  char digits[16];
  uint64_t value = 0;
  size_t length = (size_t)(stop - *rest);
  if (*stop != end || length >= sizeof digits)
    return false;
  memcpy(digits, *rest, length);
  digits[length] = '\0';
  if (!units_number(digits, UINT32_MAX, &value))
    return false;
  *number = (uint32_t)value;
  *rest = stop + (end != '\0');
  return true;
}

static bool read_map(cli *c, int id, const char *name, imgstore_id_map **map, size_t *count) {
  *count = 0;
  *map = calloc(option_count(&c->args, id) + 1, sizeof **map);
  if (!*map) {
    cli_out_of_memory(c);
    return false;
  }
  for (size_t i = 0; i < c->args.option_count; i++) {
    const char *given = c->args.options[i].value;
    imgstore_id_map *line = &(*map)[*count];
    if (c->args.options[i].id != id)
      continue;
    if (!take_number(&given, ':', &line->inside) || !take_number(&given, ':', &line->outside) ||
        !take_number(&given, '\0', &line->count) || line->count == 0) {
      cli_usage(c, "--%s is INSIDE:OUTSIDE:COUNT, such as 0:100000:65536, not %s", name, c->args.options[i].value);
      return false;
    }
    ++*count;
  }
  return true;
}

/* What to do about what cannot be made as the image says. */
static const choice policies[] = {{"error", IMGSTORE_POLICY_ERROR}, {"skip", IMGSTORE_POLICY_SKIP}, {NULL, 0}};
static const choice owner_policies[] = {
    {"error", IMGSTORE_POLICY_ERROR}, {"skip", IMGSTORE_POLICY_SKIP}, {"record", IMGSTORE_POLICY_RECORD}, {NULL, 0}};

bool cli_unpack_settings(cli *c, unpack_settings *s) {
  *s = (unpack_settings){0};
  imgstore_unpack_options *o = &s->options;
  imgstore_unpack_options_init(o, sizeof *o);
  if (option_given(&c->args, OPTION_STRICT_XATTRS))
    o->flags |= IMGSTORE_UNPACK_STRICT_XATTRS;
  if (option_given(&c->args, OPTION_FLUSH))
    o->flags |= IMGSTORE_UNPACK_FLUSH;
  bool ok = read_map(c, OPTION_UID_MAP, "uid-map", &s->uid_map, &o->uid_map_count) &&
            read_map(c, OPTION_GID_MAP, "gid-map", &s->gid_map, &o->gid_map_count) &&
            cli_choice(c, OPTION_OWNER_POLICY, owner_policies, &o->owner_policy) &&
            cli_choice(c, OPTION_DEVICE_POLICY, policies, &o->device_policy) &&
            cli_choice(c, OPTION_XATTR_POLICY, policies, &o->xattr_policy);
  o->uid_map = o->uid_map_count ? s->uid_map : NULL;
  o->gid_map = o->gid_map_count ? s->gid_map : NULL;
  return ok;
}

void unpack_settings_free(unpack_settings *s) {
  free(s->uid_map);
  free(s->gid_map);
  *s = (unpack_settings){0};
}

/* --- the report ----------------------------------------------------------------------------------------------------
 */

/* Lines of one kind: the same first word ("owner", "attribute", ...) and the same reason after the last colon. */
static bool is_alike(const char *one, const char *other) {
  size_t word = strcspn(one, " ");
  const char *reason = strrchr(one, ':'), *other_reason = strrchr(other, ':');
  return word == strcspn(other, " ") && memcmp(one, other, word) == 0 &&
         strcmp(reason ? reason : "", other_reason ? other_reason : "") == 0;
}

static void print_line(const imgstore_report *report, size_t i, size_t more) {
  const char *path = imgstore_report_name(report, i), *detail = imgstore_report_detail(report, i);
  if (strcmp(path, ".") == 0)
    path = "";
  if (more)
    put_line(stderr, "  /%s: %s (and %zu more like it)", path, detail, more);
  else
    put_line(stderr, "  /%s: %s", path, detail);
}

static bool is_skipped(const imgstore_report *report, size_t i) {
  return imgstore_report_kind(report, i) == IMGSTORE_REPORT_SKIPPED;
}

enum { MOST_KINDS = 8 };

/* One line for each of the first kinds. */
static void print_kinds(const imgstore_report *report) {
  size_t first[MOST_KINDS], count[MOST_KINDS], kinds = 0, others = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    size_t k = 0;
    if (!is_skipped(report, i))
      continue;
    while (k < kinds && !is_alike(imgstore_report_detail(report, first[k]), imgstore_report_detail(report, i)))
      k++;
    if (k < kinds) {
      count[k]++;
    } else if (kinds < MOST_KINDS) {
      first[kinds] = i;
      count[kinds++] = 1;
    } else {
      others++;
    }
  }
  for (size_t k = 0; k < kinds; k++)
    print_line(report, first[k], count[k] - 1);
  if (others)
    fprintf(stderr, "  ... and %zu of other kinds\n", others);
}

void cli_print_skipped(const imgstore_report *report, bool verbose) {
  size_t skipped = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    skipped += is_skipped(report, i);
  if (skipped == 0)
    return;
  fprintf(stderr, "%zu %s made otherwise than the image says%s:\n", skipped,
          skipped == 1 ? "entry was" : "entries were", verbose ? "" : " (-v lists them all)");
  for (size_t i = 0; verbose && i < imgstore_report_count(report); i++)
    if (is_skipped(report, i))
      print_line(report, i, 0);
  if (!verbose)
    print_kinds(report);
}
