/* places.c - takes locations apart and opens what they name. */
#include "places.h"

#include <string.h>

static const char *after(const char *location, const char *prefix) {
  size_t length = strlen(prefix);
  return strncmp(location, prefix, length) == 0 ? location + length : NULL;
}

static bool has_tag(const char *name) {
  const char *slash = strrchr(name, '/');
  return strpbrk(slash ? slash + 1 : name, ":@") != NULL;
}

static int open_registry(place *p, cli *c, const char *name, int role, const imgstore_registry_options *options) {
  imgstore_error *error = NULL;
  int32_t code = imgstore_reference_parse(c->context, name, &p->reference, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  if (!(role & PLACE_REPOSITORY))
    text_add(&p->name, imgstore_reference_name(p->reference));
  else if (has_tag(name))
    return cli_usage(c, "%s: a repository is needed, without a tag", name);
  else
    text_addf(&p->name, "%s/%s", imgstore_reference_host(p->reference), imgstore_reference_repository(p->reference));
  int status = cli_open_registry(c, imgstore_reference_host(p->reference), options, &p->registry);
  p->place.registry = p->registry;
  return status;
}

static int open_store(place *p, cli *c, const char *name, int role) {
  int status = CLI_OK;
  text_add(&p->name, name);
  if (!c->store)
    status = role & PLACE_DESTINATION ? cli_open_store(c, STORE_CREATE) : cli_need_store(c, STORE_LEASE);
  p->place.store = c->store;
  return status;
}

/* DIR:TAG; a tag has no slash, a folder before it may have anything. */
static int open_layout(place *p, cli *c, const char *location, int role) {
  imgstore_store_options options;
  imgstore_error *error = NULL;
  const char *slash = strrchr(location, '/'), *colon = strrchr(location, ':');
  if (role & PLACE_REPOSITORY || (colon && slash && colon < slash))
    colon = NULL;
  text_add_bytes(&p->dir, location, colon ? (size_t)(colon - location) : strlen(location));
  text_add(&p->name, colon ? colon + 1 : "");
  imgstore_store_options_init(&options, sizeof options);
  if (!(role & PLACE_DESTINATION))
    options.flags |= IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE;
  int32_t code = imgstore_store_open(c->context, text_get(&p->dir), &options, &p->layout, &error);
  p->place.store = p->layout;
  p->place.flags = role & PLACE_DESTINATION ? IMGSTORE_PLACE_PLAIN_NAME : 0;
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

/* FILE[:NAME]; a name may have slashes and colons, so the file ends at the first colon that has no backslash. */
static void split_archive(place *p, const char *location) {
  const char *at = location;
  for (; *at && *at != ':'; at++) {
    if (at[0] == '\\' && at[1] == ':')
      at++;
    text_add_bytes(&p->dir, at, 1);
  }
  text_add(&p->name, *at ? at + 1 : "");
}

static int open_archive(place *p, cli *c, const char *location, int role, int32_t format) {
  if (role & PLACE_REPOSITORY)
    return cli_usage(c, "%s: tags are not synced to an archive", location);
  split_archive(p, strchr(location, ':') + 1);
  if (!p->dir.size)
    return cli_usage(c, "%s: the file of an archive is missing", location);
  if (role & PLACE_DESTINATION && format == IMGSTORE_ARCHIVE_OCI)
    p->place.flags = IMGSTORE_PLACE_PLAIN_NAME;
  /* of an archive that is there, the content says which it is */
  p->place.archive_format = role & PLACE_DESTINATION ? format : IMGSTORE_ARCHIVE_AUTO;
  p->place.archive = text_get(&p->dir);
  p->place.context = c->context;
  return CLI_OK;
}

static int open_place(place *p, cli *c, const char *location, int role, const imgstore_registry_options *options) {
  const char *rest;
  int status = CLI_OK;
  imgstore_place_init(&p->place, sizeof p->place);
  if ((rest = after(location, "store:")))
    status = open_store(p, c, rest, role);
  else if ((rest = after(location, "oci:")))
    status = open_layout(p, c, rest, role);
  else if (after(location, "oci-archive:"))
    status = open_archive(p, c, location, role, IMGSTORE_ARCHIVE_OCI);
  else if (after(location, "docker-archive:"))
    status = open_archive(p, c, location, role, IMGSTORE_ARCHIVE_DOCKER);
  else if ((rest = after(location, "docker://")))
    status = open_registry(p, c, rest, role, options);
  else
    status = cli_usage(c,
                       "%s: a location is docker://NAME, store:NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
                       "docker-archive:FILE[:NAME]",
                       location);
  if (status == CLI_OK && (p->name.failed || p->dir.failed))
    status = cli_out_of_memory(c);
  p->place.name = p->name.size ? text_get(&p->name) : NULL;
  return status;
}

int places_open(places *p, cli *c, int how) {
  imgstore_registry_options options;
  if (!cli_registry_options(c, &options))
    return CLI_USAGE;
  int status = cli_open_context(c);
  if (status == CLI_OK)
    status = open_place(&p->from, c, c->args.words[0], PLACE_SOURCE | how, &options);
  if (status == CLI_OK)
    status = open_place(&p->to, c, c->args.words[1], PLACE_DESTINATION | how, &options);
  return status;
}

static void close_place(place *p) {
  imgstore_store_close(p->layout);
  imgstore_registry_free(p->registry);
  imgstore_reference_unref(p->reference);
  text_free(&p->name);
  text_free(&p->dir);
}

void places_close(places *p) {
  close_place(&p->from);
  close_place(&p->to);
}
